/** What a shell does in a mount namespace of its own before it runs a daemon there. */

/** A shell's lines that unmount what the pattern has. */
function unmountAll(pattern: string): string {
  return `
mounts=$(cat /proc/self/mountinfo)
while read -r _ _ _ _ target _; do
  case $target in ${pattern}) umount --lazy "$target" 2>/dev/null;; esac
done <<.
$mounts
.
`;
}

/** $0 is the temporary directory; what follows is run. */
export const dropTestMounts = `${unmountAll('"$0"/*|*/netns/*')}exec "$@"`;

/** $0 and $1 are directories, which a container has alone, with all that is mounted in them then; what follows is run. */
export const bindDirectories = `
for directory in "$0" "$1"; do
  place=$(mktemp -d) && mount --rbind "$directory" "$place" || exit
  ${unmountAll('"$directory"/*')}
  mount --move "$place" "$directory" && rmdir "$place" || exit
done
shift
exec "$@"`;
