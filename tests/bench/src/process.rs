//! What the kernel knows of a process: computing time and memory; and programs that serve until
//! they are dropped.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::load::Failure;

/// The computing time of a process from one moment on, all threads together.
pub(crate) struct CpuWatch {
    stat: PathBuf,
    from: Duration,
}

impl CpuWatch {
    pub(crate) fn of(process: u32) -> Result<Self, Failure> {
        Self::at(PathBuf::from(format!("/proc/{process}/stat")))
    }

    pub(crate) fn own() -> Result<Self, Failure> {
        Self::at(PathBuf::from("/proc/self/stat"))
    }

    fn at(stat: PathBuf) -> Result<Self, Failure> {
        let from = computed(&stat)?;
        Ok(Self { stat, from })
    }

    pub(crate) fn spent(&self) -> Result<Duration, Failure> {
        Ok(computed(&self.stat)?.saturating_sub(self.from))
    }
}

/// User and system time (proc(5): fields 14 and 15, behind a name that may contain anything).
fn computed(stat: &Path) -> Result<Duration, Failure> {
    let text = fs::read_to_string(stat)?;
    let behind_name = text.rsplit(") ").next().unwrap_or_default();
    let fields: Vec<u64> =
        behind_name.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    let ticks: u64 = fields.iter().sum();
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Bytes of memory that a process has resident.
pub(crate) fn resident(process: u32) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

/// A program that prints `ready http://ADDRESS` and serves. TERM ends it when dropped.
pub(crate) struct Served {
    child: Child,
    /// Kept open, so that it may go on printing.
    _stdout: BufReader<ChildStdout>,
    address: SocketAddr,
    /// From its start to its being ready.
    pub(crate) began_in: Duration,
}

impl Served {
    /// Starts `command`; what it says on standard error is added to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let log_file = File::options().create(true).append(true).open(log)?;
        let begun = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log_file))
            .spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let began_in = begun.elapsed();
        let Some(address) = line.trim_end().strip_prefix("ready http://") else {
            let _ = child.kill();
            return Err(format!(
                "it did not start: {:?}, {}",
                child.wait()?,
                fs::read_to_string(log)?
            )
            .into());
        };
        Ok(Self { address: address.parse()?, child, _stdout: stdout, began_in })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// TERM, and waits for its end.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.terminate();
        let status = self.child.wait()?;
        // A program that does not know TERM ends by it.
        if status.success() || status.code().is_none() {
            Ok(())
        } else {
            Err(format!("it ended with {status}").into())
        }
    }

    fn terminate(&self) {
        let id = rustix::process::Pid::from_child(&self.child);
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.terminate();
        let _ = self.child.wait();
    }
}

/// A program that was built beside this one.
pub(crate) fn beside(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let path = own.parent().ok_or("no directory")?.join(name);
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is not there; use the script `run`", path.display()).into())
    }
}

/// Runs a program to its end and gives what it printed.
pub(crate) fn printed(command: &mut Command) -> Result<String, Failure> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
