use super::{short, to_the_end};
use crate::failure::Failure;
use crate::pb;
use crate::server::service::Agent;
use crate::session::submounts::Wanted;

pub async fn run(agent: &Agent, request: pb::SyncSubmountsRequest) -> Result<pb::SyncSubmountsResponse, Failure> {
    // what the kernel believes of the directories that are mounted on may be seconds old
    let _ = agent.caches.drop_unused().await;
    let agent = agent.clone();
    let pb::SyncSubmountsRequest { path, submounts } = request;
    let wanted: Vec<Wanted> = submounts.into_iter().map(|one| Wanted { at: one.at, source: one.source }).collect();
    let synced =
        to_the_end("sync submounts", async move { agent.sessions.submounts.sync(&path, &wanted).await }).await?;
    let failure = synced.failure.as_ref().map(short).unwrap_or_default();
    Ok(pb::SyncSubmountsResponse { in_use: synced.in_use, failure })
}
