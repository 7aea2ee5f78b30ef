//! Processes that work for this one on what strangers sent: whoever takes one over by a damaged film finds no
//! secret in it, and none of them outlives who asked for it.

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::process::Command;

/// What children are told of our environment: where programs, libraries, plugins, fonts and drivers are, and in
/// which language. Nothing else: settings may be secrets, those of other programs as well.
const KNOWN: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LANGUAGE",
    "TZ",
    "RUST_BACKTRACE",
    "LD_LIBRARY_PATH",
    "LLVM_PROFILE_FILE",
];
/// The same, by their beginnings.
const KNOWN_BEGINNINGS: &[&str] = &[
    "LC_",
    "XDG_",
    "GST_",
    "ORC_",
    "FONTCONFIG_",
    "LIBVA_",
    "VDPAU_",
    "CUDA_",
    "NVIDIA_",
    "MESA_",
    "ONEVPL_",
    "MFX_",
];

/// A program to run as a child, which is killed when it is dropped, with what it needs of our environment.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let environment = std::env::vars_os().filter(|(name, _)| is_known(name));
    command.env_clear().envs(environment).kill_on_drop(true);
    command
}

/// Has the system kill this process as soon as the one is dead that began it: a gateway that is killed itself
/// cannot end its children. For children, at their beginning.
pub fn end_with_parent() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

fn is_known(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let begins = |beginning: &&str| name.starts_with(beginning);
    KNOWN.contains(&name) || KNOWN_BEGINNINGS.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_has_what_it_needs_and_no_secrets() {
        let mut env = command(Path::new("/usr/bin/env"));
        let said = env.output().await.unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        let names = said.lines().filter_map(|line| line.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        assert!(names.contains(&"PATH"), "{names:?}");
        // What runs tests has these, as a gateway has settings.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert!(
            !names.iter().any(|name| name.starts_with("CARGO")),
            "{names:?}"
        );
        for (name, is_told) in [
            ("GST_PLUGIN_PATH", true),
            ("LC_ALL", true),
            ("FOREBAY_ADMIN_KEY", false),
            ("FOREBAY_DATABASE_URL", false),
            ("LIVEKIT_API_SECRET", false),
            ("AWS_SECRET_ACCESS_KEY", false),
            ("PATH_OF_SECRETS", false),
        ] {
            assert_eq!(is_known(OsStr::new(name)), is_told, "{name}");
        }
    }
}
