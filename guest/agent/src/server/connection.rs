//! HTTP/2 with prior knowledge on one byte stream.

use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use super::service::Agent;
use crate::pb::agent_service_server::AgentServiceServer;

/// An OCI spec of 8 MiB and what is around it.
const MAX_REQUEST_BYTES: usize = 9 * 1024 * 1024;
/// What a call whose process or socket does not read may hold, and for how many such calls there is room before they
/// stop all others: connections from the host to the pod, and from the pod to the host, and some more.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 640 * STREAM_WINDOW_BYTES;
/// Output waits in its own buffers, where it survives the connection; here it would not.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
const MAX_STREAMS: u32 = 1024;

/// Serves until the stream ends, for whatever reason: what the client needs to know it sees itself.
pub async fn serve<S>(stream: S, agent: Agent)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = AgentServiceServer::new(agent).max_decoding_message_size(MAX_REQUEST_BYTES);
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_concurrent_streams(MAX_STREAMS);
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await;
}
