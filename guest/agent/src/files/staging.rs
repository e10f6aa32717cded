//! Parts of a file that the host writes into a file of the share in place of the channel, which is slower than the share.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::lease::STAGE;
use crate::failure::{Failure, while_doing};
use crate::layout;
use crate::pb;

/// The most of one part, as the contract has it.
const MAX_PART_BYTES: usize = 1024 * 1024;

pub struct Staging(Arc<File>);

impl Staging {
    /// `path` is a volume of the share.
    pub async fn open(path: &str) -> Result<Self, Failure> {
        if layout::volume_name(path).is_none() {
            return Err(Failure::invalid(STAGE, "what is staged does not lie in the share"));
        }
        let place = PathBuf::from(path);
        // Past the guest's cache: what the host writes there after a part was read is not what is known of it here.
        let flags = libc::O_DIRECT | libc::O_NOFOLLOW;
        let opened = apart(move || OpenOptions::new().read(true).custom_flags(flags).open(place)).await?;
        Ok(Self(Arc::new(opened.map_err(while_doing(STAGE, format!("open what is staged at {path}")))?)))
    }

    pub async fn read(&self, part: &pb::StagedPart) -> Result<Vec<u8>, Failure> {
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        if length > MAX_PART_BYTES {
            return Err(Failure::invalid(STAGE, format!("more than {MAX_PART_BYTES} bytes are staged at once")));
        }
        let (file, offset) = (Arc::clone(&self.0), part.offset);
        let read = apart(move || {
            let mut data = vec![0; length];
            file.read_exact_at(&mut data, offset).map(|()| data)
        });
        read.await?.map_err(while_doing(STAGE, "read what is staged"))
    }
}

/// The host's file server may take its time.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Failure::internal(STAGE, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;

    fn staged(bytes: &[u8]) -> Staging {
        let path = std::env::temp_dir().join(format!("a3s-staging-{}-{}", bytes.len(), std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let staging = Staging(Arc::new(File::open(&path).unwrap()));
        std::fs::remove_file(path).unwrap();
        staging
    }

    #[tokio::test]
    async fn a_part_is_what_lies_there() {
        let staging = staged(b"0123456789");
        let part = pb::StagedPart { offset: 3, length: 4 };
        assert_eq!(staging.read(&part).await.unwrap(), b"3456");
    }

    #[tokio::test]
    async fn what_does_not_lie_there_whole_is_no_part() {
        let staging = staged(b"0123");
        let short = staging.read(&pb::StagedPart { offset: 2, length: 3 }).await.unwrap_err();
        assert_eq!(short.kind, Kind::Internal);
        let far = staging.read(&pb::StagedPart { offset: u64::MAX, length: 1 }).await.unwrap_err();
        assert_eq!(far.kind, Kind::Internal);
        let large = staging.read(&pb::StagedPart { offset: 0, length: u32::MAX }).await.unwrap_err();
        assert_eq!(large.kind, Kind::Invalid);
    }

    #[tokio::test]
    async fn nothing_else_of_the_guest_is_opened() {
        for path in ["", "/etc/passwd", "/v/", "/v/..", "/v/a/../../etc/passwd", "/v/a\0", "v/a", "/c/root"] {
            assert_eq!(Staging::open(path).await.err().unwrap().kind, Kind::Invalid, "{path:?}");
        }
        assert_eq!(Staging::open("/v/none").await.err().unwrap().kind, Kind::Internal);
    }
}
