//! Whether this kernel mounts a file as EROFS: found out with one that has nothing in it. Kernels before 6.12, and those
//! without CONFIG_EROFS_FS_BACKED_BY_FILE, want a block device.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

const BLOCK: usize = 4096;
const SUPERBLOCK_AT: usize = 1024;
const ROOT_AT: usize = 1152;
const SLOT: usize = 32;

pub fn mount_at(file: &Path, place: &Path) -> Result<(), nix::errno::Errno> {
    mount(Some(file), place, Some("erofs"), MsFlags::MS_RDONLY, None::<&str>)
}

/// `directory`: an empty one. The file is on a ramfs there: a tmpfs gives its pages to nobody.
pub fn mounts_files(directory: &Path) -> io::Result<bool> {
    mount(Some("ramfs"), directory, Some("ramfs"), MsFlags::empty(), None::<&str>)?;
    let mounted = mounts_one(directory);
    umount2(directory, MntFlags::MNT_DETACH)?;
    mounted
}

fn mounts_one(directory: &Path) -> io::Result<bool> {
    let (file, place) = (directory.join("probe.erofs"), directory.join("probe"));
    fs::write(&file, empty_image())?;
    fs::create_dir(&place)?;
    let mounted = mount_at(&file, &place).is_ok();
    if mounted {
        umount2(&place, MntFlags::MNT_DETACH)?;
    }
    Ok(mounted)
}

/// A super block and a directory in which there is nothing. Source: the kernel's Documentation/filesystems/erofs.rst.
fn empty_image() -> Vec<u8> {
    let mut image = vec![0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in image.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(SUPERBLOCK_AT, &0xe0f5_e1e2_u32.to_le_bytes());
    put(SUPERBLOCK_AT + 12, &[12]); // blocks of 2^12 bytes
    put(SUPERBLOCK_AT + 14, &number(ROOT_AT / SLOT));
    put(SUPERBLOCK_AT + 16, &1_u64.to_le_bytes()); // inodes
    put(SUPERBLOCK_AT + 36, &1_u32.to_le_bytes()); // blocks
    let [dot, dots] = [24_u16, 25].map(|name_at| entry(ROOT_AT / SLOT, name_at));
    let content = [dot.as_slice(), &dots, b"..."].concat();
    put(ROOT_AT, &5_u16.to_le_bytes()); // an extended inode, whose content is behind it
    put(ROOT_AT + 4, &0o040_755_u16.to_le_bytes());
    put(ROOT_AT + 8, &u64::try_from(content.len()).unwrap_or_default().to_le_bytes());
    put(ROOT_AT + 44, &2_u32.to_le_bytes()); // links
    put(ROOT_AT + 64, &content);
    image
}

fn number(inode: usize) -> [u8; 2] {
    u16::try_from(inode).unwrap_or_default().to_le_bytes()
}

/// Of a directory, for a directory.
fn entry(inode: usize, name_at: u16) -> [u8; 12] {
    let mut entry = [0; 12];
    for (to, from) in entry.iter_mut().zip(number(inode)) {
        *to = from;
    }
    for (to, from) in entry.iter_mut().skip(8).zip(name_at.to_le_bytes()) {
        *to = from;
    }
    entry[10] = 2; // EROFS_FT_DIR
    entry
}
