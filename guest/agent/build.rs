//! Compiles the contract between host and guest, and finds the static libseccomp for the `seccomp` role.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, error, io};

const CONTRACT: &str = "agent/v1/agent.proto";

fn main() -> Result<(), Box<dyn error::Error>> {
    let package = env::var("CARGO_MANIFEST_DIR")?; // asked now: clones may share this program
    let includes = Path::new(&package).join("../../proto");
    println!("cargo:rerun-if-changed={}", includes.join(CONTRACT).display());
    let descriptors = protox::compile([CONTRACT], [&includes])?;
    tonic_prost_build::configure().build_client(false).build_transport(false).compile_fds(descriptors)?;
    let directory = libseccomp_directory()?;
    println!("cargo:rustc-link-search=native={}", directory.display());
    println!("cargo:rustc-link-lib=static=seccomp");
    Ok(())
}

/// Directory of `libseccomp.a`: LIBSECCOMP_LIB_PATH, else what pkg-config says, else the distribution's usual places.
fn libseccomp_directory() -> io::Result<PathBuf> {
    println!("cargo:rerun-if-env-changed=LIBSECCOMP_LIB_PATH");
    let asked = Command::new("pkg-config").args(["--variable=libdir", "libseccomp"]).output().ok();
    let answered = asked.filter(|output| output.status.success());
    let packaged = answered.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"].map(PathBuf::from);
    env::var_os("LIBSECCOMP_LIB_PATH")
        .map(PathBuf::from)
        .into_iter()
        .chain(packaged)
        .chain(usual)
        .find(|directory| directory.join("libseccomp.a").is_file())
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                "libseccomp.a not found (install libseccomp-dev, or set LIBSECCOMP_LIB_PATH)",
            )
        })
}
