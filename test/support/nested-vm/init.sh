#!/bin/sh
# PID 1 of the outer VM. Its root is the host's, read-only; whatever is written here goes to a tmpfs and is gone with
# the VM. Kernel parameters without a dot arrive as environment: A3S_JOB (directory with job.sh), A3S_MODULES (directory with
# lib/modules), A3S_KEEP (directories, with colons between, that stay in sight where they lie below /tmp).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
[ -c /dev/null ] || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mkdir /run/job && mount --bind "$A3S_JOB" /run/job
mkdir /run/modules && mount --bind "$A3S_MODULES" /run/modules
keep=$(echo "$A3S_KEEP" | tr : ' ')
for directory in $keep; do
  mkdir -p "/run/keep$directory" && mount --bind "$directory" "/run/keep$directory"
done
mount -t tmpfs -o mode=1777,size=80% tmp /tmp
for directory in $keep; do
  case $directory in /tmp/*) mkdir -p "$directory" && mount --bind "/run/keep$directory" "$directory" ;; esac
done
# As systemd mounts it on a node.
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
# All of them: a kubelet wants in its own group what the root has.
for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
  echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
done
for module in kvm-amd tun bridge veth cls_u32 act_mirred sch_ingress overlay loop vsock_loopback; do
  modprobe -d /run/modules "$module" || echo "nested-vm: no module $module"
done
# What plugins and iptables want the kernel gets by itself, from a directory that the host's root has not.
printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' >/run/modprobe
chmod 755 /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
# A kubelet writes below /var, wherever its own directory is.
mkdir -p /run/var/upper /run/var/work
mount -t overlay -o lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work overlay /var
[ -e /dev/net/tun ] || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }
hostname outer
ip link set lo up
export HOME=/tmp/home A3S_RESULTS=/dev/null
mkdir -p "$HOME"
for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name" 2>/dev/null)" = results ] && A3S_RESULTS=/dev/$(basename "$port")
done
echo "nested-vm: user space after $(cut -d' ' -f1 /proc/uptime) s, $(uname -r)"
sh /run/job/job.sh </dev/null
echo "{\"exit\":$?}" >"$A3S_RESULTS"
echo "nested-vm: ends after $(cut -d' ' -f1 /proc/uptime) s"
echo b >/proc/sysrq-trigger
