//! A container, up to the point where its init waits for the word to go. This is the part in the agent's own view.

use std::fs::File;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::confinement::Confinement;
use super::credentials::Credentials;
use super::inside::{self, Inside};
use super::{Given, give_pipes, mounts, set_oom_score, sys, user_namespace};
use crate::runtime::own::spec::{IdMapping, Linux, NamespaceKind, Spec};
use crate::runtime::own::wire::{Filter, Report, Trouble, during};

/// Namespaces that init joins itself: one joined before the clone would hide the cgroup that init is to be born in.
const LATER: i32 = libc::CLONE_NEWCGROUP;

pub fn run(spec: &Spec, filter: Filter, given: &Given) -> Result<(), Trouble> {
    let credentials = Credentials::of(&spec.process, filter)?;
    let confinement = Confinement::of(&spec.process)?;
    set_oom_score(spec.process.oom_score_adj)?;
    let first = |mappings: &[IdMapping]| mappings.iter().find(|one| one.container_id == 0).map_or(0, |one| one.host_id);
    give_pipes(given, &spec.process.user, (first(&spec.linux.uid_mappings), first(&spec.linux.gid_mappings)))?;
    let joined = open_joined(&spec.linux)?;
    let root = mounts::root_tree(&spec.root.path)?;
    let prepared = mounts::prepare(spec)?;
    let (mapped, maps_are_there) = pipe2(OFlag::O_CLOEXEC).map_err(during("make a pipe"))?;
    let mut later = None;
    for (kind, fd) in joined {
        if kind.flag() & LATER == 0 {
            sys::set_namespaces(&fd, kind.flag()).map_err(during(format!("join the {kind:?} namespace")))?;
        } else {
            later = Some(fd);
        }
    }
    let fresh = new_namespaces(&spec.linux);
    // what a new ipc namespace brings along belongs to who makes it: to the user namespace's root, where there is one
    let owned = if fresh & libc::CLONE_NEWUSER == 0 { 0 } else { fresh & libc::CLONE_NEWIPC };
    // SAFETY: this process has one thread.
    match unsafe { sys::clone_sibling(fresh & !LATER & !owned, &given.cgroup) }.map_err(during("clone"))? {
        Some(pid) => {
            drop(mapped);
            given.report(&Report::Pid(pid));
            if fresh & libc::CLONE_NEWUSER != 0 {
                user_namespace::map_ids(pid, &spec.linux.uid_mappings, &spec.linux.gid_mappings)?;
                let _ = nix::unistd::write(&maps_are_there, &[1]);
            }
            Ok(())
        }
        None => {
            drop(maps_are_there);
            let wait_for_maps = (fresh & libc::CLONE_NEWUSER != 0).then_some(mapped);
            let cgroup_namespace = match later {
                Some(fd) => inside::CgroupNamespace::Join(fd),
                None if fresh & LATER != 0 => inside::CgroupNamespace::New,
                None => inside::CgroupNamespace::Inherit,
            };
            let credentials = &credentials;
            let made = Inside { spec, credentials, confinement, given, root, wait_for_maps, owned, cgroup_namespace };
            Err(made.run(prepared))
        }
    }
}

/// As CLONE_NEW* bits.
fn new_namespaces(linux: &Linux) -> i32 {
    linux.namespaces.iter().filter(|one| one.path.is_none()).fold(0, |bits, one| bits | one.kind.flag())
}

/// In the order in which they are to be joined: the user namespace last, as it takes rights away.
fn open_joined(linux: &Linux) -> Result<Vec<(NamespaceKind, OwnedFd)>, Trouble> {
    let mut opened = Vec::new();
    for namespace in &linux.namespaces {
        if let Some(path) = &namespace.path {
            let file = File::open(path).map_err(|error| {
                during(format!("open {path}"))(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
            })?;
            opened.push((namespace.kind, OwnedFd::from(file)));
        }
    }
    opened.sort_by_key(|(kind, _)| *kind == NamespaceKind::User);
    Ok(opened)
}
