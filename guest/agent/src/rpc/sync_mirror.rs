use super::to_the_end;
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;

pub async fn run(agent: &Agent, request: pb::SyncMirrorRequest) -> Result<pb::SyncMirrorResponse, Failure> {
    // what the kernel believes of the directory may be seconds old
    let _ = agent.caches.drop_unused().await;
    let agent = agent.clone();
    to_the_end("sync mirror", async move { agent.sessions.mirrors.sync(&request.path).await }).await?;
    Ok(pb::SyncMirrorResponse {})
}
