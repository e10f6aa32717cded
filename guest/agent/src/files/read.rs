//! Bytes of a file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use nix::sys::stat::{SFlag, fstat};

use super::entry;
use super::fault::{Fault, Stop};
use super::frame::{HEAD_BYTES, Kind, MAX_DATA_BYTES, head};
use super::place::{Above, Link, kind_of, open_file_at};
use super::worker::Call;
use crate::pb;

pub fn run(call: &mut Call<'_>, request: &pb::ReadFileRequest) -> Result<(), Stop> {
    let scope = call.scope(request.scope.as_ref())?;
    let place = scope.find(&request.path, Link::Follow, Above::MustBe)?;
    // looked at before it is opened: to open a FIFO, or a device, does something to it
    check(kind_of(&place.stat()?))?;
    let file = open_file_at(&place.dir, &place.name)?;
    let stat = fstat(&file)?;
    check(kind_of(&stat))?;
    let entry = entry::of_stat(&place.dir, &place.name, &stat, place.path()?, call.people);
    let mut file = File::from(file);
    if request.offset > 0 {
        file.seek(SeekFrom::Start(request.offset)).map_err(Fault::from)?;
    }
    call.answer(&pb::ReadFileResponse { entry: Some(entry), data: Vec::new() })?;
    let mut left = request.length.unwrap_or(u64::MAX);
    let mut frame = vec![0; HEAD_BYTES + MAX_DATA_BYTES];
    while left > 0 {
        let Some((space, data)) = frame.split_at_mut_checked(HEAD_BYTES) else { break };
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
        let got = match file.read(data.get_mut(..wanted).unwrap_or_default()) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            other => other.map_err(Fault::from)?,
        };
        if got == 0 {
            break;
        }
        space.copy_from_slice(&head(Kind::Data, got));
        call.send_frame(frame.get(..HEAD_BYTES + got).unwrap_or_default())?;
        left -= u64::try_from(got).unwrap_or(left);
    }
    Ok(())
}

fn check(kind: SFlag) -> Result<(), Fault> {
    match kind {
        SFlag::S_IFREG => Ok(()),
        SFlag::S_IFDIR => Err(Fault::invalid("it is a directory")),
        _ => Err(Fault::invalid("it is not a regular file")),
    }
}
