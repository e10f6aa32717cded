//! The service: hands each call to its file in `rpc`.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use super::supervisor::Supervisor;
use super::{Listen, RuntimeName, Start};
use crate::cgroup::Parent;
use crate::files::lease;
use crate::guest::caches::Caches;
use crate::guest::huge_pages::HugePages;
use crate::guest::sandbox::Sandbox;
use crate::layout;
use crate::pb;
use crate::pb::agent_service_server::AgentService;
use crate::rpc;
use crate::runtime::Runtime;
use crate::runtime::guest::Guest;
use crate::runtime::plain::Plain;
use crate::runtime::runc::Runc;
use crate::served::ServedPorts;
use crate::session::table::Table;

const GUEST_DIRECTORY: &str = "/run/a3s";

/// What the calls work on. Cloned for each connection.
#[derive(Clone)]
pub struct Agent(Arc<Parts>);

pub struct Parts {
    pub started_ns: u64,
    pub supervisor: Arc<Supervisor>,
    pub sessions: Table,
    /// None where there is no pod, whose identity could be set.
    pub sandbox: Option<Sandbox>,
    pub caches: Caches,
    /// Room for connections of PortForward.
    pub connections: Arc<Semaphore>,
    /// Ports of the pod that the host serves.
    pub served: Arc<ServedPorts>,
    /// Room for processes that work on files, and those of them that watch.
    pub file_workers: Arc<Semaphore>,
    pub file_watches: Arc<Semaphore>,
}

impl std::ops::Deref for Agent {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Agent {
    #[cfg(test)]
    pub fn of(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Must be called on the event loop.
    pub fn new(link: OwnedFd, start: &Start) -> io::Result<Self> {
        let supervisor = Supervisor::new(link)?;
        let (directory, mirrors) = match &start.listen {
            Listen::Guest(_) => (PathBuf::from(GUEST_DIRECTORY), PathBuf::from(layout::MIRRORS)),
            Listen::Unix(path) => (path.with_extension("sessions"), path.with_extension("mirrors")),
        };
        fs::create_dir_all(&directory)?;
        let sandbox = match &start.listen {
            Listen::Guest(_) => Some(Sandbox::open()),
            Listen::Unix(_) => match &start.runtime {
                RuntimeName::Runc(options) => Some(Sandbox::on_host(options.has_own_uts())),
                _ => None,
            },
        };
        if matches!(start.runtime, RuntimeName::Runc(_)) {
            fs::create_dir_all(runc_state(&directory))?;
        }
        let groups = groups(&start.runtime)?;
        let runtime = runtime(&start.runtime, &supervisor, &directory, groups.as_ref())?;
        let (caches, huge_pages) = match &start.listen {
            Listen::Guest(_) => (Caches::of_guest(), HugePages::of_guest()),
            Listen::Unix(_) => (Caches::of_host(), HugePages::of_host()),
        };
        let sessions = Table::new(runtime, directory, mirrors, groups, caches.clone(), huge_pages);
        let connections = Arc::new(Semaphore::new(rpc::port_forward::MAX_CONNECTIONS));
        Ok(Self(Arc::new(Parts {
            started_ns: start.started_ns,
            supervisor,
            sessions,
            sandbox,
            caches,
            connections,
            served: ServedPorts::new(),
            file_workers: Arc::new(Semaphore::new(lease::MAX_WORKERS)),
            file_watches: Arc::new(Semaphore::new(lease::MAX_WATCHES)),
        })))
    }
}

fn groups(name: &RuntimeName) -> io::Result<Option<Parent>> {
    match name {
        RuntimeName::Guest(_) => Ok(Some(Parent::of_guest())),
        RuntimeName::Plain => Ok(None),
        RuntimeName::Runc(options) => Parent::on_host(&options.cgroup).map(Some),
    }
}

/// Beside the sessions' directories, whose names are ids.
fn runc_state(directory: &Path) -> PathBuf {
    directory.join("runc")
}

fn runtime(
    name: &RuntimeName,
    supervisor: &Arc<Supervisor>,
    directory: &Path,
    groups: Option<&Parent>,
) -> io::Result<Box<dyn Runtime>> {
    let supervisor = Arc::clone(supervisor);
    Ok(match (name, groups) {
        (RuntimeName::Guest(choice), _) => Box::new(Guest::new(&supervisor, *choice)),
        (RuntimeName::Runc(options), Some(groups)) => {
            Box::new(Runc::new(supervisor, options, runc_state(directory), groups.clone())?)
        }
        _ => Box::new(Plain::new(supervisor)),
    })
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl AgentService for Agent {
    type OutputStream = rpc::output::Chunks;
    type PortForwardStream = rpc::port_forward::Received;
    type ServePortStream = rpc::serve_port::Told;
    type TakeConnectionStream = rpc::take_connection::Received;
    type ListFilesStream = rpc::files::Answers<pb::ListFilesResponse>;
    type ReadFileStream = rpc::files::Answers<pb::ReadFileResponse>;
    type WatchFilesStream = rpc::files::Answers<pb::WatchFilesResponse>;
    type WriteFileStream = rpc::files::Answers<pb::WriteFileResponse>;

    async fn hello(&self, request: Request<pb::HelloRequest>) -> Answer<pb::HelloResponse> {
        rpc::answer(Ok(rpc::hello::run(self, request.into_inner()).await))
    }

    async fn configure_sandbox(
        &self,
        request: Request<pb::ConfigureSandboxRequest>,
    ) -> Answer<pb::ConfigureSandboxResponse> {
        rpc::answer(rpc::configure_sandbox::run(self, request.into_inner()))
    }

    async fn create_session(&self, request: Request<pb::CreateSessionRequest>) -> Answer<pb::CreateSessionResponse> {
        rpc::answer(rpc::create_session::run(self, request.into_inner()).await)
    }

    async fn start_session(&self, request: Request<pb::StartSessionRequest>) -> Answer<pb::StartSessionResponse> {
        rpc::answer(rpc::start_session::run(self, request.into_inner()).await)
    }

    async fn start_exec(&self, request: Request<pb::StartExecRequest>) -> Answer<pb::StartExecResponse> {
        rpc::answer(rpc::start_exec::run(self, request.into_inner()).await)
    }

    async fn signal(&self, request: Request<pb::SignalRequest>) -> Answer<pb::SignalResponse> {
        rpc::answer(rpc::signal::run(self, request.into_inner()))
    }

    async fn wait(&self, request: Request<pb::WaitRequest>) -> Answer<pb::WaitResponse> {
        rpc::answer(rpc::wait::run(self, request.into_inner()).await)
    }

    async fn output(&self, request: Request<Streaming<pb::OutputRequest>>) -> Answer<Self::OutputStream> {
        rpc::answer(rpc::output::run(self, request.into_inner()).await)
    }

    async fn input(&self, request: Request<Streaming<pb::InputRequest>>) -> Answer<pb::InputResponse> {
        rpc::answer(rpc::input::run(self, request.into_inner()).await)
    }

    async fn resize(&self, request: Request<pb::ResizeRequest>) -> Answer<pb::ResizeResponse> {
        rpc::answer(rpc::resize::run(self, request.into_inner()))
    }

    async fn port_forward(
        &self,
        request: Request<Streaming<pb::PortForwardRequest>>,
    ) -> Answer<Self::PortForwardStream> {
        rpc::answer(rpc::port_forward::run(self, request.into_inner()).await)
    }

    async fn serve_port(&self, request: Request<pb::ServePortRequest>) -> Answer<Self::ServePortStream> {
        rpc::answer(rpc::serve_port::run(self, request.get_ref()))
    }

    async fn take_connection(
        &self,
        request: Request<Streaming<pb::TakeConnectionRequest>>,
    ) -> Answer<Self::TakeConnectionStream> {
        rpc::answer(rpc::take_connection::run(self, request.into_inner()).await)
    }

    async fn stop_serving(&self, request: Request<pb::StopServingRequest>) -> Answer<pb::StopServingResponse> {
        rpc::answer(rpc::stop_serving::run(self, request.get_ref()))
    }

    async fn delete_session(&self, request: Request<pb::DeleteSessionRequest>) -> Answer<pb::DeleteSessionResponse> {
        rpc::answer(rpc::delete_session::run(self, request.into_inner()).await)
    }

    async fn forget_exec(&self, request: Request<pb::ForgetExecRequest>) -> Answer<pb::ForgetExecResponse> {
        rpc::answer(rpc::forget_exec::run(self, request.into_inner()).await)
    }

    async fn update_session(&self, request: Request<pb::UpdateSessionRequest>) -> Answer<pb::UpdateSessionResponse> {
        rpc::answer(rpc::update_session::run(self, request.into_inner()).await)
    }

    async fn list_sessions(&self, _: Request<pb::ListSessionsRequest>) -> Answer<pb::ListSessionsResponse> {
        rpc::answer(Ok(rpc::list_sessions::run(self)))
    }

    async fn stats(&self, request: Request<pb::StatsRequest>) -> Answer<pb::StatsResponse> {
        rpc::answer(rpc::stats::run(self, request.into_inner()))
    }

    async fn drop_caches(&self, _: Request<pb::DropCachesRequest>) -> Answer<pb::DropCachesResponse> {
        rpc::answer(rpc::drop_caches::run(self).await)
    }

    async fn sync_mirror(&self, request: Request<pb::SyncMirrorRequest>) -> Answer<pb::SyncMirrorResponse> {
        rpc::answer(rpc::sync_mirror::run(self, request.into_inner()).await)
    }

    async fn sync_submounts(&self, request: Request<pb::SyncSubmountsRequest>) -> Answer<pb::SyncSubmountsResponse> {
        rpc::answer(rpc::sync_submounts::run(self, request.into_inner()).await)
    }

    async fn stat_file(&self, request: Request<pb::StatFileRequest>) -> Answer<pb::StatFileResponse> {
        rpc::answer(rpc::files::stat_file(self, request.into_inner()).await)
    }

    async fn make_directory(&self, request: Request<pb::MakeDirectoryRequest>) -> Answer<pb::MakeDirectoryResponse> {
        rpc::answer(rpc::files::make_directory(self, request.into_inner()).await)
    }

    async fn move_file(&self, request: Request<pb::MoveFileRequest>) -> Answer<pb::MoveFileResponse> {
        rpc::answer(rpc::files::move_file(self, request.into_inner()).await)
    }

    async fn remove_file(&self, request: Request<pb::RemoveFileRequest>) -> Answer<pb::RemoveFileResponse> {
        rpc::answer(rpc::files::remove_file(self, request.into_inner()).await)
    }

    async fn list_files(&self, request: Request<pb::ListFilesRequest>) -> Answer<Self::ListFilesStream> {
        rpc::answer(rpc::files::list_files(self, request.into_inner()).await)
    }

    async fn read_file(&self, request: Request<pb::ReadFileRequest>) -> Answer<Self::ReadFileStream> {
        rpc::answer(rpc::files::read_file(self, request.into_inner()).await)
    }

    async fn watch_files(&self, request: Request<pb::WatchFilesRequest>) -> Answer<Self::WatchFilesStream> {
        rpc::answer(rpc::files::watch_files(self, request.into_inner()).await)
    }

    async fn write_file(&self, request: Request<Streaming<pb::WriteFileRequest>>) -> Answer<Self::WriteFileStream> {
        rpc::answer(rpc::files::write_file(self, request.into_inner()).await)
    }

    async fn shutdown(&self, _: Request<pb::ShutdownRequest>) -> Answer<pb::ShutdownResponse> {
        rpc::answer(Ok(rpc::shutdown::run(self)))
    }
}
