//! Makes a session up to the point where its init waits.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use serde_json::Value;

use super::entry::{Phase, Session};
use super::held::End;
use super::huge_volumes::Wanted;
use super::process::Process;
use super::roots::{self, LayeredRoot};
use super::table::Table;
use super::{id, stdio};
use crate::clock;
use crate::failure::{Failure, Kind, while_doing};
use crate::guest::apparmor;
use crate::guest::huge_pages::{self, HugePages};
use crate::runtime::{Container, CreateSpec};
use crate::step::Step;

const STAGE: &str = "create session";
const MAX_SPEC_BYTES: usize = 8 * 1024 * 1024;
const MAX_BPF_BYTES: usize = 4096 * 8; // BPF_MAXINSNS of struct sock_filter
const SOCK_FILTER_BYTES: usize = 8;
const MAX_HELD_PATHS: usize = 1024;
const MAX_HUGE_VOLUMES: usize = 64;

pub struct Create {
    pub session_id: String,
    pub oci_spec: Vec<u8>,
    pub held_paths: Vec<String>,
    pub mirrored_paths: Vec<String>,
    pub propagated_paths: Vec<String>,
    pub root: Option<LayeredRoot>,
    pub huge_volumes: Vec<Wanted>,
    pub seccomp_bpf: Vec<u8>,
    pub seccomp_flags: u32,
    pub apparmor_policy: Vec<u8>,
    pub stdin: bool,
}

/// Answers with the pid of init. On failure nothing of the session is left.
pub async fn create(table: &Table, request: Create, step: &Step) -> Result<i32, Failure> {
    id::check_session(STAGE, &request.session_id)?;
    let spec = check(&request, table.runtime.takes_profile())?;
    let container = Container {
        directory: table.directory.join(&request.session_id),
        cgroup: table.groups.as_ref().map(|groups| groups.session(&request.session_id)),
        id: request.session_id.clone(),
    };
    let session = Arc::new(Session::new(container, clock::wall_ns()));
    let mut phase = Arc::clone(&session.phase).write_owned().await;
    table.insert(STAGE, &session)?;
    let made = make(table, &session, request, spec, step).await;
    if made.is_err() {
        step.begin("take back what was made");
        undo(table, &session).await;
        *phase = Phase::Gone;
        table.remove(&session.container.id);
    } else {
        *phase = Phase::Created;
    }
    made
}

fn check(request: &Create, takes_profile: bool) -> Result<Value, Failure> {
    if request.oci_spec.len() > MAX_SPEC_BYTES {
        return Err(Failure::invalid(STAGE, format!("the spec is longer than {MAX_SPEC_BYTES} bytes")));
    }
    if request.seccomp_bpf.len() > MAX_BPF_BYTES || !request.seccomp_bpf.len().is_multiple_of(SOCK_FILTER_BYTES) {
        return Err(Failure::invalid(STAGE, "seccomp_bpf is not an array of at most 4096 instructions"));
    }
    if request.held_paths.len() > MAX_HELD_PATHS {
        return Err(Failure::invalid(STAGE, format!("there are more than {MAX_HELD_PATHS} held paths")));
    }
    if request.huge_volumes.len() > MAX_HUGE_VOLUMES {
        return Err(Failure::invalid(STAGE, format!("there are more than {MAX_HUGE_VOLUMES} volumes of huge pages")));
    }
    if let Some(path) = request.mirrored_paths.iter().find(|path| !request.held_paths.contains(path)) {
        return Err(Failure::invalid(STAGE, format!("{path:?} is to be copied, but not among the held paths")));
    }
    if let Some(path) = request.propagated_paths.iter().find(|path| !request.held_paths.contains(path)) {
        return Err(Failure::invalid(STAGE, format!("{path:?} is to have submounts, but not among the held paths")));
    }
    if let Some(root) = &request.root {
        roots::check(STAGE, root, &request.held_paths)?;
    }
    let parsed = serde_json::from_slice(&request.oci_spec);
    let spec: Value = parsed.map_err(|error| Failure::invalid(STAGE, format!("the spec is not JSON: {error}")))?;
    if !spec.get("process").is_some_and(Value::is_object) {
        return Err(Failure::invalid(STAGE, "the spec has no process"));
    }
    apparmor::check(STAGE, &spec, &request.apparmor_policy)?;
    if !takes_profile && spec.pointer("/linux/seccomp").is_some_and(|seccomp| !seccomp.is_null()) {
        return Err(Failure::invalid(STAGE, "the spec has linux.seccomp (send seccomp_bpf instead)"));
    }
    Ok(spec)
}

async fn make(
    table: &Table,
    session: &Arc<Session>,
    request: Create,
    spec: Value,
    step: &Step,
) -> Result<i32, Failure> {
    let container = &session.container;
    step.begin("look at the volumes");
    let (held, visited) = table.held.visit_all(&request.held_paths, End::Unmount).await;
    session.facts().held = held;
    visited.map_err(|error| Failure::invalid(STAGE, error))?;
    if let Some(root) = &request.root {
        step.begin("lay the root");
        let laid = table.roots.lay(STAGE, &container.id, root).await?;
        session.facts().root = Some(laid);
    }
    step.begin("copy the mirrored volumes");
    for path in &request.mirrored_paths {
        let mirrored = table.mirrors.add(STAGE, path).await?;
        session.facts().mirrored.push(mirrored);
    }
    step.begin("mount what is below the volumes");
    for path in &request.propagated_paths {
        let propagated = table.submounts.add(STAGE, path).await?;
        session.facts().propagated.push(propagated);
    }
    step.begin("set huge pages aside");
    let pages = huge_pages::wanted(STAGE, spec.pointer("/linux/resources"))?;
    table.huge_pages.grow(STAGE, &container.id, &pages).await?;
    for volume in &request.huge_volumes {
        let volume = table.huge_volumes.add(STAGE, volume).await?;
        session.facts().huge_volumes.push(volume);
    }
    if let Some(profile) = apparmor::profile(&spec).filter(|_| !request.apparmor_policy.is_empty()) {
        step.begin("load the AppArmor profile");
        table.profiles.ensure(STAGE, profile, request.apparmor_policy).await?;
    }
    let made = fs::DirBuilder::new().mode(0o700).create(&container.directory);
    made.map_err(while_doing(STAGE, format!("make {}", container.directory.display())))?;
    step.begin("start the container's init");
    let (theirs, ours) = stdio::pipes(request.stdin).map_err(while_doing(STAGE, "make pipes"))?;
    let create = CreateSpec { spec, seccomp_bpf: request.seccomp_bpf, seccomp_flags: request.seccomp_flags };
    let launched = table.runtime.create(container, create, theirs).await?;
    let pid = launched.pid;
    let cgroup = container.cgroup.clone();
    let init = match Process::adopt(STAGE, launched, ours, cgroup.clone(), cgroup) {
        Ok(init) => init,
        Err(failure) => {
            let _ = table.runtime.delete(container).await;
            return Err(failure);
        }
    };
    tokio::spawn(end_with_init(Arc::clone(&init), container.id.clone(), table.huge_pages.clone()));
    session.facts().init = Some(init);
    Ok(pid)
}

/// Without a pid namespace of its own a session's other processes outlive its init; a container's must not.
async fn end_with_init(init: Arc<Process>, session: String, huge_pages: HugePages) {
    let mut exit = init.exit.clone();
    exit.wait().await;
    if let Some(cgroup) = &init.cgroup {
        let _ = cgroup.kill_all();
    }
    huge_pages.over(&session).await;
}

async fn undo(table: &Table, session: &Session) {
    if let Some(cgroup) = &session.container.cgroup {
        let _ = cgroup.kill_all();
        let _ = cgroup.remove().await;
    }
    let _ = fs::remove_dir_all(&session.container.directory);
    release(table, session).await;
}

/// A root that is laid over what is held, and what is mounted on volumes, first, and the copies of directories of the share, as making them reads the share; then the
/// share itself. Files of volumes have huge pages: these go after them.
pub async fn release(table: &Table, session: &Session) {
    let root = session.facts().root.take();
    if let Some(root) = root {
        table.roots.take_away(root).await;
    }
    let propagated = std::mem::take(&mut session.facts().propagated);
    table.submounts.release(propagated).await;
    let mirrored = std::mem::take(&mut session.facts().mirrored);
    table.mirrors.release(mirrored).await;
    let held = std::mem::take(&mut session.facts().held);
    table.held.release(held).await;
    let huge_volumes = std::mem::take(&mut session.facts().huge_volumes);
    table.huge_volumes.release(huge_volumes).await;
    table.huge_pages.release(&session.container.id).await;
}

/// For a session whose phase does not allow what is asked.
pub fn wrong_phase(stage: &'static str, session: &Session, phase: Phase) -> Failure {
    let id = &session.container.id;
    match phase {
        Phase::Creating | Phase::Gone => Failure::new(Kind::NotFound, stage, format!("session {id} is not known")),
        Phase::Created => Failure::new(Kind::State, stage, format!("session {id} has not been started")),
        Phase::Started => Failure::new(Kind::State, stage, format!("session {id} has been started already")),
    }
}
