use std::sync::Arc;

use super::{TELLING_LIMIT, pid_message, telling_the_step};
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::create::{Create, create};
use crate::session::huge_volumes::Wanted;
use crate::session::roots::LayeredRoot;
use crate::step::Step;

pub async fn run(agent: &Agent, request: pb::CreateSessionRequest) -> Result<pb::CreateSessionResponse, Failure> {
    let agent = agent.clone();
    let wanted = Create {
        session_id: request.session_id,
        oci_spec: request.oci_spec,
        held_paths: request.held_paths,
        mirrored_paths: request.mirrored_paths,
        propagated_paths: request.propagated_paths,
        root: request.root.map(|root| LayeredRoot { layers: root.layers, written: root.written }),
        huge_volumes: request.huge_volumes.into_iter().map(huge_volume).collect(),
        seccomp_bpf: request.seccomp_bpf,
        seccomp_flags: request.seccomp_flags,
        apparmor_policy: request.apparmor_policy,
        stdin: request.stdin,
    };
    let work = |step: Arc<Step>| async move { create(&agent.sessions, wanted, &step).await };
    let pid = telling_the_step("create session", TELLING_LIMIT, work).await?;
    Ok(pb::CreateSessionResponse { pid: pid_message(pid) })
}

fn huge_volume(message: pb::HugeVolume) -> Wanted {
    let pb::HugeVolume { name, file_system, path, page_kib, size_bytes, min_size_bytes, inodes, uid, gid, mode } =
        message;
    Wanted { name, file_system, path, page_kib, size_bytes, min_size_bytes, inodes, uid, gid, mode }
}
