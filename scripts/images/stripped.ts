/** What no program of an image reads: manuals, translations, and what a machine's services are set up by. */
const directories = [
  ...[
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/doc-base",
  ],
  ...["usr/share/bash-completion", "usr/share/zsh", "usr/share/fish", "usr/share/icons", "usr/share/pixmaps"],
  ...["usr/share/applications", "usr/share/initramfs-tools", "usr/share/gitweb", "usr/share/polkit-1", "usr/games"],
  ...["usr/lib/systemd", "usr/lib/udev", "usr/lib/tmpfiles.d", "usr/lib/sysctl.d", "usr/lib/sysusers.d"],
  ...["etc/init.d", "etc/systemd", "etc/cron.daily", "etc/cron.weekly", "etc/logrotate.d", "etc/update-motd.d"],
  // Links below /run take their place.
  ...["var/lock", "var/run"],
  ...["etc/bash_completion.d", "etc/sysctl.d", "usr/share/nmap", "usr/share/apport", "usr/share/readline"],
];
const patterns = [
  /^etc\/rc[0-6S]\.d(\/|$)/,
  /^usr\/share\/doc\/[^/]+(\/|$)/,
  /\.pod$/,
  // For who compiles against perl, for which there is no compiler.
  /^usr\/lib\/[^/]+\/perl\/[^/]+\/CORE\/.*\.h$/,
  // Says that pip may not install beside Debian's packages, of which nobody has more here than the image.
  /^usr\/lib\/python3\.\d+\/EXTERNALLY-MANAGED$/,
];

export function isStripped(path: string, kind: string): boolean {
  // Licences stay, and the links by which packages share them.
  if (/^usr\/share\/doc\/[^/]+\/copyright$/.test(path)) return false;
  if (/^usr\/share\/doc\/[^/]+$/.test(path) && kind === "symlink") return false;
  return (
    directories.some((directory) => path === directory || path.startsWith(`${directory}/`)) ||
    patterns.some((p) => p.test(path))
  );
}
