//! Compiles components: in a process of its own, whose time and memory are bounded.
//!
//! What compiling takes is for the component to decide: one of a few kilobytes can take hours, or
//! all memory. A compilation cannot be stopped from within, so it runs in another process, which
//! the kernel bounds and the host ends. Only one runs at a time. Never here: whether a component is
//! a plugin.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::sync::Semaphore;
use wasmtime::Engine;

use crate::component::artefacts::MAX_BYTES;
use crate::component::cache::MAX_COMPONENT;
use crate::engine::guest_engine;
use crate::options::CompilerProcess;

/// Longest message of the other process, in bytes.
const MAX_MESSAGE: u64 = 4096;
/// Address space beyond its memory that a compilation may reserve: stacks and arenas of threads.
const RESERVED: u64 = 4 << 30;
/// The exit code of a process that says why a component cannot be compiled.
const REFUSED: u8 = 1;
/// The exit code of a process that panicked: without memory for one more thread, the compiler does.
const PANICKED: i32 = 101;
/// From its time limit until a process is ended by the host, if the kernel did not end it.
const GRACE: Duration = Duration::from_secs(2);

/// Why there is no compiled component: a predicate about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotCompiled {
    /// It is not what the engine compiles.
    #[error("it cannot be compiled: {0}")]
    Invalid(String),
    /// It takes more than it may.
    #[error("compiling it took more than {0}")]
    TooMuch(String),
    /// The process does not work.
    #[error("the process that compiles components failed: {0}")]
    Process(String),
}

/// Runs the other process.
pub(crate) struct Compiler {
    process: CompilerProcess,
    one: Arc<Semaphore>,
}

impl Compiler {
    pub(crate) fn new(process: CompilerProcess) -> Self {
        Self { process, one: Arc::new(Semaphore::new(1)) }
    }

    /// The code of `component`, as artefacts keep it. Waits until no other component is compiled.
    pub(crate) async fn compile(
        &self,
        component: Cow<'static, [u8]>,
    ) -> Result<Vec<u8>, NotCompiled> {
        let broken = |why: &dyn std::fmt::Display| NotCompiled::Process(why.to_string());
        let place = self.one.clone().acquire_owned().await.map_err(|why| broken(&why))?;
        let process = self.process.clone();
        let running = tokio::task::spawn_blocking(move || {
            let _place = place;
            run(&process, component)
        });
        running.await.map_err(|why| broken(&why))?
    }
}

fn run(process: &CompilerProcess, component: Cow<'static, [u8]>) -> Result<Vec<u8>, NotCompiled> {
    let CompilerProcess { program, arguments, timeout, memory_bytes } = process;
    let broken = |why: io::Error| NotCompiled::Process(why.to_string());
    let mut child = Command::new(program)
        .args(arguments)
        .arg(memory_bytes.to_string())
        .arg(timeout.as_secs().max(1).to_string())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(broken)?;
    let said = talk(&mut child, component, timeout.saturating_add(GRACE));
    if said.is_none() {
        // It may have ended by itself meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(broken)?;
    let Some((code, message)) = said else {
        return Err(NotCompiled::TooMuch(format!("{timeout:?}")));
    };
    let bounds =
        || format!("{} MiB of memory or {timeout:?} of computing time", memory_bytes >> 20);
    match status.code() {
        Some(0) if u64::try_from(code.len()).is_ok_and(|length| length <= MAX_BYTES) => Ok(code),
        Some(0) => Err(NotCompiled::TooMuch(format!("{} MiB of compiled code", MAX_BYTES >> 20))),
        Some(code) if code == i32::from(REFUSED) => {
            Err(NotCompiled::Invalid(String::from_utf8_lossy(&message).trim().to_owned()))
        }
        Some(PANICKED) => {
            let said = String::from_utf8_lossy(&message);
            Err(NotCompiled::TooMuch(format!("{}, or failed: {}", bounds(), said.trim())))
        }
        // The kernel ends it when its time is over; without memory it aborts.
        Some(code) => Err(NotCompiled::Process(format!("it ended with exit code {code}"))),
        None => Err(NotCompiled::TooMuch(bounds())),
    }
}

/// Hands `component` over and reads what the process answers on its two streams. `None`: it did not
/// end in time.
fn talk(
    child: &mut Child,
    component: Cow<'static, [u8]>,
    patience: Duration,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let (mut input, output, messages) =
        (child.stdin.take()?, child.stdout.take()?, child.stderr.take()?);
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        // A process that ended does not read on; its exit code says why.
        thread::spawn(move || input.write_all(&component));
        let reading = thread::spawn(move || read(messages, MAX_MESSAGE));
        let code = read(output, MAX_BYTES + 1);
        // The receiver is gone when the time was over.
        let _ = said.send((code, reading.join().unwrap_or_default()));
    });
    heard.recv_timeout(patience).ok()
}

fn read(stream: impl Read, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What could be read of a stream that broke is the answer.
    let _ = stream.take(most).read_to_end(&mut bytes);
    bytes
}

/// The work of the other process: reads a component from standard input and writes its code to
/// standard output, with at most `memory_bytes` of memory and `seconds` of computing time.
///
/// # Errors
/// A sentence that says why it cannot be compiled.
pub fn compile_component(memory_bytes: u64, seconds: u64) -> Result<(), String> {
    bound(memory_bytes, seconds).map_err(|why| format!("it cannot be bounded: {why}"))?;
    let most = u64::try_from(MAX_COMPONENT).unwrap_or(u64::MAX);
    let component = component_from(io::stdin(), most.saturating_add(1))?;
    let engine = Engine::new(&guest_engine::base()).map_err(|why| format!("{why:#}"))?;
    let code = engine.precompile_component(&component).map_err(|why| format!("{why:#}"))?;
    io::stdout().write_all(&code).map_err(|why| why.to_string())
}

/// The whole component, or the part of one that is too long. A part of it must not be taken for
/// all of it: where memory ends while it is read, so does the process, as it does at any other
/// place.
fn component_from(stream: impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match stream.take(most).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(why) if why.kind() == io::ErrorKind::OutOfMemory => std::process::abort(),
        Err(why) => Err(format!("it cannot be read: {why}")),
    }
}

fn bound(memory_bytes: u64, seconds: u64) -> io::Result<()> {
    let most = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    // Every processor may work for the whole time.
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let computing = seconds.saturating_mul(u64::try_from(processors).unwrap_or(1));
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Cpu, most(computing))?;
    setrlimit(Resource::Data, most(memory_bytes))?;
    setrlimit(Resource::As, most(memory_bytes.saturating_add(RESERVED)))?;
    setrlimit(Resource::Fsize, most(0))?;
    Ok(())
}

impl CompilerProcess {
    /// This very program, with `arguments` before the two bounds that [`compile_component`] takes:
    /// its memory in bytes and its time in seconds.
    pub fn of_this_program(arguments: &[&str], timeout: Duration, memory_bytes: u64) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        // The file that runs, even where another one has taken its place since.
        let program = PathBuf::from("/proc/self/exe");
        Self { program, arguments, timeout, memory_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, timeout: Duration) -> Compiler {
        Compiler::new(CompilerProcess {
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            timeout,
            memory_bytes: 1 << 30,
        })
    }

    const EVER: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_answer_of_the_process_is_the_code() {
        let large = vec![b'x'; 4 << 20];
        let code = shell("cat", EVER).compile(large.clone().into()).await.unwrap();
        assert_eq!(code, large);
    }

    #[tokio::test]
    async fn a_process_that_does_not_compile_says_why() {
        for (script, expected) in [
            ("echo 'unknown section' >&2; exit 1", "cannot be compiled: unknown section"),
            ("kill -ABRT $$", "took more than 1024 MiB of memory or 60s of computing time"),
            ("exit 7", "exit code 7"),
        ] {
            let why = shell(script, EVER).compile(Cow::Borrowed(b"x")).await.unwrap_err();
            assert!(why.to_string().contains(expected), "{script}: {why}");
        }
    }

    #[test]
    fn a_part_of_a_component_is_not_taken_for_all_of_it() {
        struct Breaks;
        impl Read for Breaks {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the pipe broke"))
            }
        }
        let broken = component_from((&b"\0asm"[..]).chain(Breaks), 100).unwrap_err();
        assert!(broken.contains("the pipe broke"), "{broken}");
        assert_eq!(component_from(&b"\0asm"[..], 100).unwrap(), b"\0asm");
        assert_eq!(component_from(&b"\0asm"[..], 2).unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_process_that_takes_for_ever_is_ended() {
        let compiler = shell("exec sleep 1000", Duration::ZERO);
        let why = compiler.compile(Cow::Borrowed(b"x")).await.unwrap_err();
        assert!(matches!(why, NotCompiled::TooMuch(_)), "{why}");
        assert_eq!(compiler.one.available_permits(), 1);
    }
}
