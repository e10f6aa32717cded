//! One file for each call: messages in, words of the modules below, messages out.

pub mod configure_sandbox;
pub mod create_session;
pub mod delete_session;
pub mod drop_caches;
pub mod files;
pub mod forget_exec;
pub mod hello;
pub mod input;
pub mod list_sessions;
pub mod output;
pub mod port_forward;
pub mod resize;
pub mod serve_port;
pub mod shutdown;
pub mod signal;
pub mod start_exec;
pub mod start_session;
pub mod stats;
pub mod stop_serving;
pub mod sync_mirror;
pub mod sync_submounts;
pub mod take_connection;
mod tcp_stream;
pub mod update_session;
pub mod wait;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Response, Status};

use crate::failure::{Failure, Kind};
use crate::pb;
use crate::session::process::ExitStatus;
use crate::step::Step;

/// The one place where failures become statuses.
pub fn answer<T>(result: Result<T, Failure>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(|failure| status(&failure))
}

pub fn status(failure: &Failure) -> Status {
    let code = match failure.kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::State => Code::FailedPrecondition,
        Kind::Aborted => Code::Aborted,
        Kind::TooLate => Code::DeadlineExceeded,
        Kind::Denied => Code::PermissionDenied,
        Kind::Exhausted => Code::ResourceExhausted,
        Kind::Unimplemented => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    };
    Status::new(code, short(failure))
}

/// The host keeps no more of it, and HTTP/2 carries it in a header.
const MAX_TEXT_BYTES: usize = 4096;

fn short(failure: &Failure) -> String {
    let mut text = failure.to_string();
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
    text
}

/// Runs to its end even when the caller goes away in the middle: what is half made could not be undone then.
async fn to_the_end<T: Send + 'static>(
    stage: &'static str,
    work: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::internal(stage, error)),
    }
}

/// The daemon gives up calls that make and remove sessions after 60 s, and would not know where they hang.
const TELLING_LIMIT: Duration = Duration::from_secs(55);

/// As `to_the_end`; who has waited for as long as a daemon does is told the step, which the work says as it goes.
async fn telling_the_step<T, W>(
    stage: &'static str,
    limit: Duration,
    work: impl FnOnce(Arc<Step>) -> W,
) -> Result<T, Failure>
where
    T: Send + 'static,
    W: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let step = Arc::new(Step::default());
    let work = work(Arc::clone(&step));
    let within = tokio::time::timeout(limit, to_the_end(stage, work)).await;
    within.unwrap_or_else(|_| {
        let what = format!("still at: {}, after {} s", step.now(), limit.as_secs());
        Err(Failure::new(Kind::TooLate, stage, what))
    })
}

/// The names in a ProcessRef.
fn names(stage: &'static str, process: Option<pb::ProcessRef>) -> Result<(String, String), Failure> {
    let process = process.ok_or_else(|| Failure::invalid(stage, "no process named"))?;
    Ok((process.session_id, process.exec_id))
}

fn exit_message(exit: ExitStatus) -> pb::ExitStatus {
    let ExitStatus { code, signal, exited_at_ns, oom_killed } = exit;
    pb::ExitStatus { code, signal, exited_at_ns, oom_killed }
}

fn pid_message(pid: i32) -> u32 {
    pid.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_for_too_long_is_told_the_step_and_the_work_goes_on() {
        let (go, gone) = tokio::sync::oneshot::channel::<()>();
        let (done, is_done) = tokio::sync::oneshot::channel();
        let work = |step: Arc<Step>| async move {
            step.begin("visit the held paths");
            let _ = gone.await;
            let _ = done.send(());
            Ok(())
        };
        let told = telling_the_step("create session", Duration::from_millis(20), work).await.unwrap_err();
        assert_eq!(told.to_string(), "create session: still at: visit the held paths, after 0 s");
        assert_eq!(status(&told).code(), Code::DeadlineExceeded);
        go.send(()).unwrap();
        is_done.await.unwrap();
    }
}
