use super::Start;
use crate::clock;
use crate::pb;
use crate::pb::agent_service_server::AgentService;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Agent {
    inner: Arc<Inner>,
}
struct Inner {
    started_ns: u64,
    link: OwnedFd,
}
impl Agent {
    pub fn new(link: OwnedFd, start: &Start) -> io::Result<Self> {
        Ok(Self {
            inner: Arc::new(Inner {
                started_ns: start.started_ns,
                link,
            }),
        })
    }
}
#[tonic::async_trait]
impl AgentService for Agent {
    async fn hello(&self, request: Request<pb::HelloRequest>) -> Result<Response<pb::HelloResponse>, Status> {
        let _ = request;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let clocksource = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource")
            .unwrap_or_default();
        Ok(Response::new(pb::HelloResponse {
            protocol: 1,
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel_release: release.trim().to_owned(),
            clocksource: clocksource.trim().to_owned(),
            agent_started_boottime_ns: self.inner.started_ns,
            now_boottime_ns: clock::boot_ns(),
            runtime: "crun".to_owned(),
        }))
    }
    async fn shutdown(&self, _: Request<pb::ShutdownRequest>) -> Result<Response<pb::ShutdownResponse>, Status> {
        let link = self.inner.link.try_clone()?;
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            let _ = crate::link::packet::send(std::os::fd::AsFd::as_fd(&link), b"reboot", &[]);
        });
        Ok(Response::new(pb::ShutdownResponse {}))
    }
}
