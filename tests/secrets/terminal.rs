//! The banner, which a terminal shows and a log does not.

use super::*;

/// A gateway behind a terminal that `script` makes. Its own process is ended with the test.
struct AtTerminal {
    _script: tokio::process::Child,
    folder: Folder,
}

impl AtTerminal {
    async fn start() -> AtTerminal {
        let folder = Folder::new();
        let mut program = folder.command(&["serve"], &[]);
        let program = program.as_std_mut();
        let start = format!(
            "echo $$ > pid; exec '{}' serve",
            program.get_program().display()
        );
        let mut script = Command::new("script");
        script
            .args(["-q", "-f", "-e", "-c", &start, "typescript"])
            .env_clear();
        for (name, value) in program.get_envs() {
            script.envs(value.map(|value| (name, value)));
        }
        script
            .current_dir(folder.file(""))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let script = script.spawn().expect("script is there");
        AtTerminal {
            _script: script,
            folder,
        }
    }

    async fn shown(&self, until: &str) -> String {
        let reading = async {
            let mut again = tokio::time::interval(Duration::from_millis(20));
            loop {
                again.tick().await;
                let text = std::fs::read(self.folder.file("typescript")).unwrap_or_default();
                let text = String::from_utf8_lossy(&text).into_owned();
                if text.contains(until) {
                    return text;
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading)
            .await
            .expect("it is shown")
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        if let Ok(id) = std::fs::read_to_string(self.folder.file("pid")) {
            signal(id.trim(), "KILL");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banner_shows_keys_on_a_terminal_only() {
    let terminal = AtTerminal::start().await;
    let shown = terminal.shown("shown this once").await;
    for name in ["stream_key", "admin_key", "application_secret"] {
        let secret = terminal.folder.credential(name);
        assert!(shown.contains(&secret), "{name}: {shown}");
    }
    drop(terminal);

    let folder = Folder::new();
    let gateway = folder.serve(&[]).await;
    let banner = gateway.banner();
    let said = banner.clone() + &gateway.stop().await;
    assert!(
        banner.contains("RTMP URL") && banner.contains("Watch"),
        "{banner}"
    );
    for name in ["stream_key", "admin_key", "application_secret"] {
        assert!(!said.contains(&folder.credential(name)), "{name}: {said}");
    }
}
