#!/bin/sh
# Number 1 of the namespaces that run.ts makes: shows systemd a machine with cgroup v2 alone and no units but our own, and
# becomes systemd. $1 is a scratch directory, $2 the group that is to be systemd's root. Whatever is written to /etc or
# /var/lib goes to a tmpfs and is gone with it.
set -e
if [ -n "$2" ]; then
  # Alone: where a process from outside is in the group too, systemd can't hand its controllers down. A new cgroup
  # namespace has its maker's group as its root.
  echo $$ >"$2/cgroup.procs"
  exec unshare --cgroup sh "$0" "$1"
fi
# What ends on the host ends here too, and the other way round nothing is seen.
mount --make-rslave /
mount --make-rshared /
mount -t proc proc /proc
mkdir -p "$1/writes"
mount -t tmpfs -o mode=755 writes "$1/writes"
for directory in /etc /var/lib; do
  name=$(basename "$directory")
  mkdir -p "$1/writes/$name/upper" "$1/writes/$name/work"
  mount -t overlay overlay -o "lowerdir=$directory,upperdir=$1/writes/$name/upper,workdir=$1/writes/$name/work" "$directory"
done
mount -t tmpfs -o mode=755 units /etc/systemd
mkdir -p /etc/systemd/system
cp "$(dirname "$0")"/units/* /etc/systemd/system/
for unit in systemd-journald.service systemd-journald.socket; do
  sed '/^\(Requires\|After\|Before\|Wants\|Conflicts\|Also\)=/d' "/usr/lib/systemd/system/$unit" >"/etc/systemd/system/$unit"
done
mount -t tmpfs -o mode=755 run /run
while umount /sys/fs/cgroup 2>/dev/null; do :; done
umount -R /sys/fs/cgroup 2>/dev/null || umount -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
# Transient units are loaded from their directory again when systemd reloads; without it a scope is delegated no more.
export container=a3s-test SYSTEMD_UNIT_PATH=/run/systemd/transient:/etc/systemd/system
exec /usr/lib/systemd/systemd --system --unit=bed.target --log-target=console --log-level=info --show-status=0
