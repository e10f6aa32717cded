use std::time::Duration;

use crate::console;
use crate::pb;
use crate::server::service::Agent;

/// For the answer to leave before the connection breaks.
const ANSWER_FIRST: Duration = Duration::from_millis(20);

pub fn run(agent: &Agent) -> pb::ShutdownResponse {
    let agent = agent.clone();
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER_FIRST).await;
        if let Err(error) = agent.supervisor.reboot().await {
            console::say(&format!("shut down: {error}"));
        }
    });
    pb::ShutdownResponse {}
}
