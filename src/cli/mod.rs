//! The command line. In: arguments. Out: what to run, and the commands that only touch the store.
//! Not here: `serve`, `demo` and the child processes, which are `app`'s.

pub mod check;
pub mod commands;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::config;

/// Longest validity of a token.
const LONGEST_VALIDITY: Duration = Duration::from_secs(3650 * 86_400);

/// A live media gateway: encoders push into it, players pull from it.
///
/// Without a command it serves.
#[derive(Clone, Debug, PartialEq, Eq, Parser)]
#[command(name = "forebay", version)]
pub struct Cli {
    /// Configuration file; forebay.toml when there is one.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// What to do; `serve` when nothing was said.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or(Command::Serve)
    }
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the gateway (the default).
    Serve,
    /// Run the gateway with a moving test picture in the default channel.
    Demo,
    /// Check configuration and machine, and say how to mend what is wrong.
    Check,
    /// Print a token.
    #[command(subcommand)]
    Token(Token),
    /// Manage applications: who owns channels and signs tokens.
    #[command(subcommand)]
    Application(Application),
    /// Manage stream keys.
    #[command(subcommand)]
    Key(Key),
    /// The transcoder's child process.
    #[command(hide = true)]
    Worker {
        /// As the gateway passes them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Make a film of what was uploaded.
    #[command(hide = true)]
    PrepareFilm {
        /// The folder that holds it, and will hold the film.
        folder: PathBuf,
        /// What stands on the slate.
        #[arg(long, default_value = "")]
        title: String,
        /// Length of a segment.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
        segment_seconds: u32,
        /// As the setting of the same name.
        #[arg(long, default_value = "auto")]
        ladder: String,
    },
    /// Say as a line of JSON what a file is.
    #[command(hide = true)]
    ProbeMedia {
        /// The file.
        file: PathBuf,
    },
}

/// `forebay token`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Token {
    /// For viewing a protected channel: streamToken of its manifests, or ~TOKEN in a path.
    Playback(ChannelToken),
    /// For publishing into a channel, in place of its stream key.
    Publish {
        /// Channel and validity.
        #[command(flatten)]
        channel: ChannelToken,
        /// Capabilities of the stream, instead of those the encoder asks for.
        #[arg(long, value_delimiter = ',', value_name = "WORDS")]
        capabilities: Vec<String>,
    },
    /// For joining a LiveKit room (needs LIVEKIT_API_KEY and LIVEKIT_API_SECRET).
    Livekit {
        /// Room to join.
        #[arg(long)]
        room: String,
        /// Identity of the participant.
        #[arg(long)]
        identity: String,
        /// Name of the participant, for people.
        #[arg(long)]
        name: Option<String>,
        /// Whether the participant may send media too.
        #[arg(long)]
        publish: bool,
        /// How long it is good for, such as 90s, 1h or 7d.
        #[arg(long, default_value = "6h", value_parser = validity, value_name = "SPAN")]
        expires: Duration,
    },
}

/// What tokens of a channel have in common.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct ChannelToken {
    /// Alias or id of the channel.
    #[arg(long)]
    pub channel: String,
    /// How long it is good for, such as 90s, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = validity, value_name = "SPAN")]
    pub expires: Duration,
    /// The one address it is good for.
    #[arg(long, value_name = "IP")]
    pub address: Option<IpAddr>,
    /// How it is written; both are taken everywhere.
    #[arg(long, value_enum, default_value = "jwt")]
    pub format: Format,
}

/// How a token is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// RFC 7519, HS256: short, and made by any library.
    #[default]
    Jwt,
    /// As the channel API has them.
    Digest,
}

/// `forebay application`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Application {
    /// Make an application, and print its secret this once.
    Add {
        /// User name of the channel API.
        #[arg(value_parser = application_id)]
        id: String,
    },
    /// List applications.
    List,
    /// Remove an application with all its channels.
    Remove {
        /// User name of the channel API.
        id: String,
    },
    /// Give an application a new secret and print it this once. The old one, and tokens signed with it,
    /// are refused from then on.
    Rotate {
        /// User name of the channel API.
        id: String,
    },
}

/// `forebay key`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Key {
    /// Give a channel a new stream key and print it. The old one is refused from then on.
    Rotate {
        /// Alias or id.
        channel: String,
    },
}

/// Reads arguments, the program's name first. The error is to be printed by its own `exit`: help
/// and version leave with 0, everything else with 2.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let command = Cli::command_factory();
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

impl Cli {
    /// The definition, settings included in the long help.
    fn command_factory() -> clap::Command {
        <Cli as CommandFactory>::command()
            .after_help("All settings: forebay --help")
            .after_long_help(config::help())
    }
}

fn validity(text: &str) -> Result<Duration, String> {
    config::parse_span(text)
        .filter(|span| (Duration::from_secs(1)..=LONGEST_VALIDITY).contains(span))
        .ok_or_else(|| "accepted is 1s to 3650d".to_owned())
}

fn application_id(text: &str) -> Result<String, String> {
    match config::is_name(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("accepted is 1 to 64 letters, digits, dots, hyphens or underscores".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Field, SETTINGS};

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let all = ["forebay"].iter().chain(arguments);
        parse(all.map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command_factory().debug_assert();
    }

    #[test]
    fn nothing_means_serve_and_config_is_understood_everywhere() {
        assert_eq!(read(&[]).unwrap().command(), Command::Serve);
        for arguments in [
            &["--config", "a.toml"][..],
            &["serve", "--config", "a.toml"],
            &["--config", "a.toml", "check"],
        ] {
            let cli = read(arguments).unwrap();
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
        }
    }

    #[test]
    fn long_help_documents_every_setting_and_command() {
        let help = read(&["--help"]).unwrap_err();
        assert_eq!(help.exit_code(), 0);
        let text = help.to_string();
        for setting in SETTINGS {
            let later = matches!(setting.field, Field::Later { .. });
            let name = format!("\n  {} ", setting.env);
            assert_eq!(text.contains(&name), !later, "{}", setting.env);
        }
        for command in ["serve", "demo", "check", "token", "application", "key"] {
            assert!(text.contains(&format!("\n  {command} ")), "{command}");
        }
        assert!(!text.contains("worker"));
    }

    #[test]
    fn mistakes_leave_with_2_and_name_the_option_and_the_range() {
        for (arguments, part) in [
            (&["--port", "80"][..], "--port"),
            (&["serve", "--http", "80"], "--http"),
            (&["frobnicate"], "frobnicate"),
            (&["token", "playback"], "--channel"),
            (
                &["token", "playback", "--channel", "live", "--expires", "1"],
                "accepted is 1s to 3650d",
            ),
            (&["application", "add", "a#b"], "1 to 64 letters"),
        ] {
            let error = read(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn worker_takes_whatever_follows() {
        let cli = read(&["worker", "--fd", "3", "-x"]).unwrap();
        let arguments = ["--fd", "3", "-x"].map(OsString::from).to_vec();
        assert_eq!(cli.command(), Command::Worker { arguments });
    }

    #[test]
    fn tokens_have_a_validity() {
        let cli = read(&["token", "playback", "--channel", "live", "--expires", "7d"]);
        let Command::Token(Token::Playback(token)) = cli.unwrap().command() else {
            panic!("a playback token was asked for");
        };
        assert_eq!(token.expires, Duration::from_secs(7 * 86_400));
    }
}
