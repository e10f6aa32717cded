//! Huge pages of the guest. Its kernel has none until some are set aside, which the agent does for each session that may
//! have them. Source: linux, Documentation/admin-guide/mm/hugetlbpage.rst.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;

use super::stats;
use crate::failure::{Failure, Kind};

const ROOT: &str = "/sys/kernel/mm/hugepages";
/// Makes room in one piece: linux, Documentation/admin-guide/sysctl/vm.rst.
const COMPACT: &str = "/proc/sys/vm/compact_memory";
/// What huge pages leave of a guest's memory: without it the kernel would end its programs.
const LEFT_KIB: u64 = 32 * 1024;
const BYTES_PER_KIB: u64 = 1024;
/// As OCI and cgroup files have them.
const UNITS: [(&str, u64); 3] = [("KB", 1), ("MB", 1024), ("GB", 1024 * 1024)];

/// How many, by their size in KiB.
pub type Pages = BTreeMap<u64, u64>;

#[derive(Clone)]
pub struct HugePages {
    root: PathBuf,
    /// In KiB.
    sizes: Arc<[u64]>,
    pools: Arc<Mutex<Pools>>,
}

type Pools = HashMap<u64, Pool>;

/// The pages of one size.
#[derive(Debug, Default)]
struct Pool {
    /// Those of the kernel's that are there for sessions.
    ours: u64,
    wants: HashMap<String, Want>,
}

#[derive(Debug, Clone, Copy)]
struct Want {
    pages: u64,
    /// The session's init has exited.
    over: bool,
}

/// There is not enough memory, or not in one piece.
#[derive(Debug, thiserror::Error)]
enum Shortage {
    #[error(
        "no room for {pages} more huge pages of {kib} KiB: {available_mib} MiB are available, of which some must stay"
    )]
    Memory { pages: u64, kib: u64, available_mib: u64 },
    #[error("the kernel found room for {found} of {pages} more huge pages of {kib} KiB")]
    Pieces { pages: u64, kib: u64, found: u64 },
    #[error("huge pages of {kib} KiB: {source}")]
    Kernel { kib: u64, source: io::Error },
}

impl HugePages {
    pub fn of_guest() -> Self {
        Self::of(PathBuf::from(ROOT))
    }

    /// A host's are its own matter.
    pub fn of_host() -> Self {
        Self { root: PathBuf::new(), sizes: Arc::new([]), pools: Arc::default() }
    }

    fn of(root: PathBuf) -> Self {
        let entries = fs::read_dir(&root).into_iter().flatten().flatten();
        let mut sizes: Vec<u64> = entries.filter_map(|entry| size_of_directory(entry.file_name().to_str()?)).collect();
        sizes.sort_unstable();
        Self { root, sizes: sizes.into(), pools: Arc::default() }
    }

    /// In KiB, rising; none on a host.
    pub fn sizes(&self) -> &[u64] {
        &self.sizes
    }

    /// Sets so many aside for a session, if it has fewer, and answers with what it had of these sizes. On an error nothing
    /// has changed.
    pub async fn grow(&self, stage: &'static str, session: &str, wanted: &Pages) -> Result<Pages, Failure> {
        if self.sizes.is_empty() || wanted.is_empty() {
            return Ok(Pages::new());
        }
        if let Some((kib, _)) = wanted.iter().find(|(kib, pages)| **pages > 0 && !self.sizes.contains(kib)) {
            return Err(Failure::invalid(stage, format!("the guest has no huge pages of {kib} KiB")));
        }
        let before = self.of_session(session, wanted).await;
        let larger = |(kib, pages): (&u64, &u64)| (*kib, (*pages).max(before.get(kib).copied().unwrap_or(0)));
        let grown = self.set(session, wanted.iter().map(larger).collect()).await;
        if let Err(shortage) = grown {
            self.settle(session, &before).await;
            let kind = if matches!(shortage, Shortage::Kernel { .. }) { Kind::Internal } else { Kind::Exhausted };
            return Err(Failure::new(kind, stage, shortage));
        }
        Ok(before)
    }

    /// As many as that and no more; the kernel always takes pages back.
    pub async fn settle(&self, session: &str, pages: &Pages) {
        if !self.sizes.is_empty() {
            let _ = self.set(session, pages.clone()).await;
        }
    }

    /// It keeps its pages until others need them: a container that is started again finds them there.
    pub async fn over(&self, session: &str) {
        for pool in self.pools.lock().await.values_mut() {
            if let Some(want) = pool.wants.get_mut(session) {
                want.over = true;
            }
        }
    }

    pub async fn release(&self, session: &str) {
        let sizes: Vec<u64> = self.pools.lock().await.keys().copied().collect();
        self.settle(session, &sizes.into_iter().map(|kib| (kib, 0)).collect()).await;
    }

    async fn of_session(&self, session: &str, sizes: &Pages) -> Pages {
        let pools = self.pools.lock().await;
        let has = |kib: &u64| pools.get(kib).and_then(|pool| pool.wants.get(session)).map_or(0, |want| want.pages);
        sizes.keys().map(|kib| (*kib, has(kib))).collect()
    }

    /// The kernel may have to move much of the guest's memory: not on the event loop.
    async fn set(&self, session: &str, pages: Pages) -> Result<(), Shortage> {
        let mut pools = Arc::clone(&self.pools).lock_owned().await;
        let (root, session) = (self.root.clone(), session.to_owned());
        let set = tokio::task::spawn_blocking(move || {
            pages.into_iter().try_for_each(|(kib, pages)| {
                let pool = pools.entry(kib).or_default();
                pool.want(&session, pages);
                Kernel::of(&root, kib).fit(pool)
            })
        });
        set.await.unwrap_or_else(|error| Err(Shortage::Kernel { kib: 0, source: io::Error::other(error) }))
    }
}

impl Pool {
    fn want(&mut self, session: &str, pages: u64) {
        if pages == 0 {
            self.wants.remove(session);
        } else {
            self.wants.entry(session.to_owned()).or_insert(Want { pages, over: false }).pages = pages;
        }
    }

    /// What there is to be for sessions.
    fn target(&self) -> u64 {
        let sum = |over_too: bool| {
            let counted = self.wants.values().filter(|want| over_too || !want.over);
            counted.map(|want| want.pages).fold(0, u64::saturating_add)
        };
        sum(false).max(sum(true).min(self.ours))
    }
}

/// The kernel's files of one size.
struct Kernel {
    directory: PathBuf,
    kib: u64,
}

impl Kernel {
    fn of(root: &Path, kib: u64) -> Self {
        Self { directory: root.join(format!("hugepages-{kib}kB")), kib }
    }

    /// Brings the pool to its target. After a shortage it is as it was.
    fn fit(&self, pool: &mut Pool) -> Result<(), Shortage> {
        let target = pool.target();
        if target == pool.ours {
            return Ok(());
        }
        let failed = |source| Shortage::Kernel { kib: self.kib, source };
        let (has, in_files) = self.counts().map_err(failed)?;
        // some may be there by a sysctl of the pod
        let goal = has.saturating_sub(pool.ours).saturating_add(target);
        if target > pool.ours {
            self.check_room(goal.saturating_sub(has).saturating_sub(in_files))?;
        }
        let found = self.set(goal).map_err(failed)?;
        if found < goal && target > pool.ours {
            self.set(has).map_err(failed)?;
            let pages = goal.saturating_sub(has);
            return Err(Shortage::Pieces { pages, kib: self.kib, found: found.saturating_sub(has) });
        }
        pool.ours = target;
        Ok(())
    }

    /// Those that are there to stay, and those that are only as long as a file has them.
    fn counts(&self) -> io::Result<(u64, u64)> {
        let surplus = self.read("surplus_hugepages")?;
        Ok((self.read("nr_hugepages")?.saturating_sub(surplus), surplus))
    }

    fn check_room(&self, pages: u64) -> Result<(), Shortage> {
        let available_kib = stats::memory().available_bytes / BYTES_PER_KIB;
        if pages.saturating_mul(self.kib).saturating_add(LEFT_KIB) <= available_kib {
            return Ok(());
        }
        Err(Shortage::Memory { pages, kib: self.kib, available_mib: available_kib / 1024 })
    }

    /// Answers with what there is then.
    fn set(&self, pages: u64) -> io::Result<u64> {
        self.write(pages)?;
        let found = self.counts()?.0;
        if found >= pages || fs::write(COMPACT, "1").is_err() {
            return Ok(found);
        }
        self.write(pages)?;
        Ok(self.counts()?.0)
    }

    fn write(&self, pages: u64) -> io::Result<()> {
        fs::write(self.directory.join("nr_hugepages"), pages.to_string())
    }

    fn read(&self, file: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.directory.join(file))?;
        text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{file} is {text:?}")))
    }
}

/// "hugepages-2048kB".
fn size_of_directory(name: &str) -> Option<u64> {
    name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
}

/// What OCI's `linux.resources` limits, in whole pages.
pub fn wanted(stage: &'static str, resources: Option<&Value>) -> Result<Pages, Failure> {
    let limits = resources.and_then(|all| all.get("hugepageLimits")).and_then(Value::as_array);
    let mut pages = Pages::new();
    for one in limits.into_iter().flatten() {
        let name = one.get("pageSize").and_then(Value::as_str).unwrap_or_default();
        let limit = one.get("limit").and_then(Value::as_u64);
        let (Some(kib), Some(limit)) = (kib_of(name), limit) else {
            return Err(Failure::invalid(stage, format!("{one} is no limit of huge pages")));
        };
        pages.insert(kib, limit / BYTES_PER_KIB / kib);
    }
    Ok(pages)
}

/// Of "2MB".
fn kib_of(name: &str) -> Option<u64> {
    let (number, unit) = UNITS.iter().find_map(|(unit, kib)| Some((name.strip_suffix(unit)?, kib)))?;
    number.parse::<u64>().ok()?.checked_mul(*unit).filter(|kib| *kib > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    struct Directory(PathBuf);

    impl Directory {
        /// One size, as the kernel shows it.
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("agent-huge-{name}-{}", std::process::id()));
            let directory = path.join("hugepages-64kB");
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("nr_hugepages"), "0\n").unwrap();
            fs::write(directory.join("surplus_hugepages"), "0\n").unwrap();
            Self(path)
        }

        fn pages(&self) -> HugePages {
            HugePages::of(self.0.clone())
        }

        fn file(&self) -> PathBuf {
            self.0.join("hugepages-64kB/nr_hugepages")
        }

        fn number(&self) -> u64 {
            fs::read_to_string(self.file()).unwrap().trim().parse().unwrap()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn of_64(pages: u64) -> Pages {
        Pages::from([(64, pages)])
    }

    fn run(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    }

    #[test]
    fn reads_limits_in_whole_pages() {
        let resources = json!({"hugepageLimits": [
            {"pageSize": "2MB", "limit": 7 << 20},
            {"pageSize": "1GB", "limit": 0},
            {"pageSize": "64KB", "limit": 65536},
        ]});
        assert_eq!(wanted("test", Some(&resources)).unwrap(), Pages::from([(2048, 3), (1 << 20, 0), (64, 1)]));
        assert_eq!(wanted("test", None).unwrap(), Pages::new());
        for page_size in ["2", "MB", "0MB", "2mb", "-2MB", "99999999999999999999GB"] {
            let wrong = json!({"hugepageLimits": [{"pageSize": page_size, "limit": 1}]});
            assert_eq!(wanted("test", Some(&wrong)).unwrap_err().kind, Kind::Invalid, "{page_size}");
        }
    }

    #[test]
    fn sets_pages_aside_for_each_session_and_gives_them_back() {
        let directory = Directory::new("sessions");
        run(async {
            let pages = directory.pages();
            assert_eq!(pages.sizes(), [64]);
            pages.grow("test", "a", &of_64(3)).await.unwrap();
            pages.grow("test", "b", &of_64(2)).await.unwrap();
            assert_eq!(directory.number(), 5);
            assert_eq!(pages.grow("test", "a", &of_64(1)).await.unwrap(), of_64(3));
            assert_eq!(directory.number(), 5);
            pages.settle("a", &of_64(1)).await;
            assert_eq!(directory.number(), 3);
            pages.release("a").await;
            pages.release("nobody").await;
            assert_eq!(directory.number(), 2);
            pages.release("b").await;
            assert_eq!(directory.number(), 0);
        });
    }

    #[test]
    fn a_session_that_is_over_keeps_what_nobody_needs() {
        let directory = Directory::new("over");
        run(async {
            let pages = directory.pages();
            pages.grow("test", "a1", &of_64(4)).await.unwrap();
            pages.over("a1").await;
            assert_eq!(directory.number(), 4);
            pages.grow("test", "a2", &of_64(3)).await.unwrap();
            assert_eq!(directory.number(), 4);
            pages.grow("test", "b", &of_64(2)).await.unwrap();
            assert_eq!(directory.number(), 5);
            pages.release("a1").await;
            assert_eq!(directory.number(), 5);
            pages.release("b").await;
            assert_eq!(directory.number(), 3);
        });
    }

    #[test]
    fn leaves_alone_what_others_have_set_aside() {
        let directory = Directory::new("others");
        fs::write(directory.file(), "10\n").unwrap();
        run(async {
            let pages = directory.pages();
            pages.grow("test", "a", &of_64(3)).await.unwrap();
            assert_eq!(directory.number(), 13);
            pages.release("a").await;
            assert_eq!(directory.number(), 10);
        });
    }

    #[test]
    fn refuses_what_there_is_no_room_for_and_leaves_all_as_it_was() {
        let directory = Directory::new("room");
        run(async {
            let pages = directory.pages();
            pages.grow("test", "a", &of_64(3)).await.unwrap();
            let much = pages.grow("test", "a", &of_64(u64::MAX / 2)).await.unwrap_err();
            assert_eq!(much.kind, Kind::Exhausted);
            assert!(much.what.contains("MiB are available"), "{much}");
            assert_eq!(directory.number(), 3);
            assert_eq!(pages.grow("test", "b", &Pages::from([(2048, 1)])).await.unwrap_err().kind, Kind::Invalid);
            pages.grow("test", "b", &Pages::from([(2048, 0), (64, 1)])).await.unwrap();
            assert_eq!(directory.number(), 4);
        });
    }

    #[test]
    fn a_host_has_none_to_give() {
        run(async {
            let pages = HugePages::of_host();
            assert!(pages.sizes().is_empty());
            assert_eq!(pages.grow("test", "a", &of_64(3)).await.unwrap(), Pages::new());
            pages.release("a").await;
        });
    }
}
