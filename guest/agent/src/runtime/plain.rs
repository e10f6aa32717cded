//! No isolation at all: programs of the host, for tests of the API without a VM.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use serde_json::Value;

use super::{Container, CreateSpec, ExecSpec, Launched, Reach, Runtime, wants_terminal};
use crate::failure::{Failure, Kind, while_doing};
use crate::server::supervisor::{Command, Supervisor};
use crate::session::process::Process;
use crate::session::stdio::Theirs;

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const START_TRIES: u32 = 500;
const START_PAUSE: Duration = Duration::from_millis(10);

pub struct Plain {
    supervisor: Arc<Supervisor>,
}

impl Plain {
    pub fn new(supervisor: Arc<Supervisor>) -> Self {
        Self { supervisor }
    }

    async fn launch(&self, stage: &'static str, command: Command) -> Result<Launched, Failure> {
        let child = self.supervisor.spawn(command).await.map_err(while_doing(stage, "start the program"))?;
        Ok(Launched { pid: child.pid, exit: child.exit, terminal: None })
    }
}

#[tonic::async_trait]
impl Runtime for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    /// Init is this binary, waiting at a FIFO.
    async fn create(&self, container: &Container, create: CreateSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "create session";
        let mut program = Program::of(STAGE, create.spec.get("process").unwrap_or(&Value::Null))?;
        let gate = gate(container);
        nix::unistd::mkfifo(&gate, Mode::S_IRUSR | Mode::S_IWUSR).map_err(while_doing(STAGE, "make the gate"))?;
        let mut argv = vec!["/proc/self/exe".to_owned(), "plain-init".to_owned(), gate.display().to_string()];
        argv.append(&mut program.argv);
        self.launch(STAGE, Command { argv, env: program.env, cwd: program.cwd, stdio }).await
    }

    async fn start(&self, container: &Container) -> Result<(), Failure> {
        const STAGE: &str = "start session";
        let gate = gate(container);
        for _ in 0..START_TRIES {
            let flags = nix::fcntl::OFlag::O_WRONLY | nix::fcntl::OFlag::O_NONBLOCK;
            match nix::fcntl::open(&gate, flags, Mode::empty()) {
                Err(Errno::ENXIO) => tokio::time::sleep(START_PAUSE).await, // init is not there yet
                other => return other.map(drop).map_err(while_doing(STAGE, "open the gate")),
            }
        }
        Err(Failure::internal(STAGE, "init does not wait at its gate"))
    }

    async fn exec(&self, _: &Container, exec: ExecSpec, stdio: Theirs) -> Result<Launched, Failure> {
        const STAGE: &str = "start exec";
        let program = Program::of(STAGE, &exec.process)?;
        self.launch(STAGE, Command { argv: program.argv, env: program.env, cwd: program.cwd, stdio }).await
    }

    fn signal(&self, process: &Process, signal: i32, reach: Reach) -> Result<(), Failure> {
        let sent = match reach {
            Reach::One => process.signal(signal),
            // every program leads a process group of its own
            Reach::All => Signal::try_from(signal).and_then(|signal| killpg(Pid::from_raw(process.pid), signal)),
        };
        match sent {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(Failure::internal("signal", format!("signal {signal} to {}: {errno}", process.pid))),
        }
    }

    async fn delete(&self, _: &Container) -> Result<(), Failure> {
        Ok(())
    }
}

fn gate(container: &Container) -> PathBuf {
    container.directory.join("gate")
}

/// `agent plain-init GATE PROGRAM …`: waits until the gate is opened for writing, then becomes the program.
pub fn init(gate: &str, argv: &[&str]) -> std::process::ExitCode {
    use std::os::unix::process::CommandExt;
    let opened = fs::File::open(gate);
    if let (Ok(_), Some((program, arguments))) = (opened, argv.split_first()) {
        let error = std::process::Command::new(program).args(arguments).exec();
        crate::console::say(&format!("execute {program}: {error}"));
    }
    std::process::ExitCode::from(127)
}

struct Program {
    argv: Vec<String>,
    env: Vec<String>,
    cwd: String,
}

impl Program {
    fn of(stage: &'static str, process: &Value) -> Result<Self, Failure> {
        if wants_terminal(Some(process)) {
            return Err(Failure::new(Kind::Unimplemented, stage, "the plain runtime has no terminals"));
        }
        let mut argv = strings(process.get("args"));
        let env = strings(process.get("env"));
        let name = argv.first_mut().ok_or_else(|| Failure::invalid(stage, "the process has no args"))?;
        let path = env.iter().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
        *name = find(name, path)
            .ok_or_else(|| Failure::new(Kind::NotFound, stage, format!("executable file not found: {name}")))?;
        let cwd = process.get("cwd").and_then(Value::as_str).unwrap_or("/").to_owned();
        Ok(Self { argv, env, cwd })
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn find(name: &str, path: &str) -> Option<String> {
    if name.contains('/') {
        return Path::new(name).is_file().then(|| name.to_owned());
    }
    let candidates = path.split(':').map(|directory| Path::new(directory).join(name));
    candidates.filter(|candidate| candidate.is_file()).find_map(|candidate| candidate.to_str().map(str::to_owned))
}
