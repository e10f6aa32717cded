use super::{pid_message, to_the_end};
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::exec::{Exec, start};

pub async fn run(agent: &Agent, request: pb::StartExecRequest) -> Result<pb::StartExecResponse, Failure> {
    let agent = agent.clone();
    let wanted = Exec {
        session_id: request.session_id,
        exec_id: request.exec_id,
        oci_process: request.oci_process,
        stdin: request.stdin,
    };
    let started = to_the_end("start exec", async move { start(&agent.sessions, wanted).await }).await?;
    Ok(pb::StartExecResponse { pid: pid_message(started.pid), started_at_ns: started.started_at_ns })
}
