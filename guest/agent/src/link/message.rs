//! What PID 1 and the server say to each other. Fields are separated by NUL, which no argument, variable or path can
//! contain.

/// Descriptors that come with `Request::Spawn`: stdin, stdout, stderr.
pub const SPAWN_DESCRIPTORS: usize = 3;
/// Most that come with any message.
pub const MAX_DESCRIPTORS: usize = 8;
/// Longest message; the server refuses to send more, PID 1 ends a server that does.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Server to PID 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Start a program in a session (setsid) of its own. Answered with `Event::Spawned`.
    Spawn { id: u32, cwd: String, argv: Vec<String>, env: Vec<String> },
    /// Fork for a container or an exec: all about it is in the descriptors (`runtime::own::wire`). Answered with
    /// `Event::Spawned` once the fork is there.
    Launch { id: u32 },
    /// End the guest (on the host: the agent). Not answered.
    Reboot,
}

/// PID 1 to server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Comes first, once: everything of the guest that containers need is there.
    SetUp,
    /// `errno` is 0 when the program runs. Comes before the `Exited` of the same pid.
    Spawned { id: u32, pid: i32, errno: i32 },
    /// Any child of PID 1 has been reaped; `status` as from waitpid(2).
    Exited { pid: i32, status: i32, at_ns: i64 },
}

impl Request {
    /// The message, or None when a field contains NUL or it is too long.
    pub fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Self::Reboot => join(&["reboot".to_owned()]),
            Self::Launch { id } => join(&["launch".to_owned(), id.to_string()]),
            Self::Spawn { id, cwd, argv, env } => {
                let mut fields = vec!["spawn".to_owned(), id.to_string(), cwd.clone(), argv.len().to_string()];
                fields.extend(argv.iter().cloned());
                fields.extend(env.iter().cloned());
                join(&fields)
            }
        }
    }

    pub fn decode(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let mut fields = text.split('\0');
        match fields.next()? {
            "reboot" => Some(Self::Reboot),
            "launch" => Some(Self::Launch { id: fields.next()?.parse().ok()? }),
            "spawn" => {
                let id = fields.next()?.parse().ok()?;
                let cwd = fields.next()?.to_owned();
                let count: usize = fields.next()?.parse().ok()?;
                let argv: Vec<String> = fields.by_ref().take(count).map(str::to_owned).collect();
                let env = fields.map(str::to_owned).collect();
                (argv.len() == count && count > 0).then_some(Self::Spawn { id, cwd, argv, env })
            }
            _ => None,
        }
    }
}

impl Event {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::SetUp => b"set up".to_vec(),
            Self::Spawned { id, pid, errno } => format!("spawned\0{id}\0{pid}\0{errno}").into_bytes(),
            Self::Exited { pid, status, at_ns } => format!("exited\0{pid}\0{status}\0{at_ns}").into_bytes(),
        }
    }

    pub fn decode(message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok()?;
        let mut fields = text.split('\0');
        match fields.next()? {
            "set up" => Some(Self::SetUp),
            "spawned" => Some(Self::Spawned {
                id: fields.next()?.parse().ok()?,
                pid: fields.next()?.parse().ok()?,
                errno: fields.next()?.parse().ok()?,
            }),
            "exited" => Some(Self::Exited {
                pid: fields.next()?.parse().ok()?,
                status: fields.next()?.parse().ok()?,
                at_ns: fields.next()?.parse().ok()?,
            }),
            _ => None,
        }
    }
}

fn join(fields: &[String]) -> Option<Vec<u8>> {
    let message = fields.join("\0").into_bytes();
    let clean = fields.iter().all(|field| !field.contains('\0'));
    (clean && message.len() <= MAX_MESSAGE_BYTES).then_some(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_out_as_they_went_in() {
        let spawn = Request::Spawn {
            id: 7,
            cwd: "/".to_owned(),
            argv: vec!["/base/bin/crun".to_owned(), "".to_owned(), "a b".to_owned()],
            env: vec!["PATH=/bin".to_owned()],
        };
        assert_eq!(Request::decode(&spawn.encode().unwrap()), Some(spawn));
        for request in [Request::Reboot, Request::Launch { id: 9 }] {
            assert_eq!(Request::decode(&request.encode().unwrap()), Some(request));
        }
    }

    #[test]
    fn events_come_out_as_they_went_in() {
        for event in [
            Event::SetUp,
            Event::Spawned { id: 1, pid: 2, errno: 13 },
            Event::Exited { pid: 3, status: 0x0f, at_ns: -5_000_000_000 },
        ] {
            assert_eq!(Event::decode(&event.encode()), Some(event));
        }
    }

    #[test]
    fn refuses_an_argument_with_nul_and_a_message_that_is_too_long() {
        let with = |argument: String| Request::Spawn { id: 1, cwd: "/".to_owned(), argv: vec![argument], env: vec![] };
        assert_eq!(with("a\0b".to_owned()).encode(), None);
        assert_eq!(with("a".repeat(MAX_MESSAGE_BYTES)).encode(), None);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for message in [&b""[..], b"spawn", b"spawn\x001\0/\x002\0one", b"spawn\x001\0/\x000", b"halt", b"\xff"] {
            assert_eq!(Request::decode(message), None);
            assert_eq!(Event::decode(message), None);
        }
    }
}
