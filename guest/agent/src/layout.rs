//! The paths of a guest that the host knows too. Its side is src/vmm/share/layout.ts, which a test there compares with this.

/// The directories of the share, each with entries that the host puts there.
pub const OF_THE_SHARE: [&str; 3] = ["/base", "/c", "/v"];
/// Container roots in the share.
pub const ROOTS: &str = "/c/";
/// Volumes in the share.
pub const VOLUMES: &str = "/v/";
/// The guest base's programs.
pub const PROGRAMS: &str = "/base/bin";
/// The pod's shared memory: specs bind it from there.
pub const SHM: &str = "/run/a3s/shm";
/// Copies of volumes, by the volumes' names: specs bind them from there.
pub const MIRRORS: &str = "/run/mirrors";
/// Roots that the agent lays over their layers, by the sessions' names.
pub const LAYERED_ROOTS: &str = "/run/roots/";

pub fn is_in_share(path: &str) -> bool {
    path.starts_with(ROOTS) || path.starts_with(VOLUMES)
}

/// The name of a volume in the share, of its path.
pub fn volume_name(path: &str) -> Option<&str> {
    path.strip_prefix(VOLUMES).filter(|name| !name.is_empty() && !name.contains(['/', '\0']) && *name != "..")
}
