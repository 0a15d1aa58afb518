//! The program as a process.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::answer::Answer;
use crate::binary::credsmith;
use crate::request::{Connection, Request};
use crate::wait::{PATIENCE, wait_for};
use crate::written::Written;

/// A daemon that serves. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    address: SocketAddr,
    stdout: Written,
    stderr: Written,
    data: Option<PathBuf>,
}

/// How a daemon ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit.
    pub status: ExitStatus,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

impl Daemon {
    /// Starts `credsmith dev` with free ports and these arguments.
    ///
    /// # Panics
    /// It does not start.
    pub fn dev(arguments: &[&str]) -> Self {
        let mut command = credsmith();
        command
            .args(["dev", "--listen", "127.0.0.1:0", "--provider-listen", "127.0.0.1:0"])
            .args(arguments);
        let data = arguments
            .iter()
            .skip_while(|argument| **argument != "--data")
            .nth(1)
            .map(PathBuf::from);
        Self::start(command, data).unwrap_or_else(|ended| panic!("it does not start: {ended:?}"))
    }

    /// Runs `command` and waits for its `ready` line.
    ///
    /// # Errors
    /// How it ended instead.
    ///
    /// # Panics
    /// It cannot be run.
    pub fn start(mut command: Command, data: Option<PathBuf>) -> Result<Self, Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Written::of(child.stdout.take().unwrap());
        let stderr = Written::of(child.stderr.take().unwrap());
        let ready = stdout.wait(|text| {
            let line = text.split_once('\n')?.0.strip_prefix("ready ")?;
            line.split_once("://")?.1.parse().ok()
        });
        match ready {
            Some(address) => Ok(Self { child, address, stdout, stderr, data }),
            None => Err(Ended {
                status: child.wait().unwrap(),
                stdout: stdout.all(),
                stderr: stderr.all(),
            }),
        }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sends a request.
    ///
    /// # Panics
    /// There is no answer.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Answer {
        request.send(self.address)
    }

    /// Asks the admin socket.
    ///
    /// # Panics
    /// There is none, or no answer.
    pub fn admin(&self, path: &str) -> Answer {
        self.admin_request(&Request::get(path))
    }

    /// Sends any request to the admin socket.
    ///
    /// # Panics
    /// There is none, or no answer.
    pub fn admin_request(&self, request: &Request) -> Answer {
        let socket =
            self.data.as_deref().map(|data| data.join("admin.sock")).expect("a data directory");
        let stream = UnixStream::connect(&socket)
            .unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection = Connection::on(stream);
        connection.send(&request.clone().header("Connection", "close").bytes()).unwrap();
        connection.answer(false).unwrap()
    }

    /// What it has written to standard error.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// Standard error, for waiting on it.
    pub fn stderr(&self) -> &Written {
        &self.stderr
    }

    /// Standard output.
    pub fn stdout(&self) -> &Written {
        &self.stdout
    }

    /// Where it keeps its data, if that was said.
    pub fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// The system does not say.
    pub fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// TERM: the beginning of an orderly end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Any signal.
    ///
    /// # Panics
    /// The process is gone.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub fn ended(mut self) -> Ended {
        let status = wait_for("the end of the daemon", || self.child.try_wait().unwrap());
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }

    /// TERM, and waits for its end.
    ///
    /// # Panics
    /// It does not end.
    pub fn stop(self) -> Ended {
        self.terminate();
        self.ended()
    }

    /// `kill -9`, at once.
    ///
    /// # Panics
    /// It is gone already.
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        Ended { status, stdout: self.stdout.all(), stderr: self.stderr.all() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
