//! The `forebay` program: arguments in, exit codes out.

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use forebay::app::{self, App};
use forebay::base::child;
use forebay::base::clock::Clock;
use forebay::base::telemetry;
use forebay::cli::{self, Command, check, commands};
use forebay::config::{Config, Loaded};
use forebay::transcode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

/// Wrong arguments or settings, as `INTERFACE` promises.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let command = cli.command();
    // A worker ends with its socket.
    let reads_files = matches!(
        command,
        Command::ProbeMedia { .. } | Command::PrepareFilm { .. }
    );
    if reads_files && let Err(error) = child::end_with_parent() {
        return ended(Err(error));
    }
    match &command {
        Command::Worker { .. } => return ended(transcode::run_worker().map(|()| String::new())),
        Command::ProbeMedia { file } => return ended(probe(file)),
        Command::PrepareFilm {
            folder,
            title,
            segment_seconds,
            ladder,
        } => return ended(app::film::prepare(folder, title, *segment_seconds, ladder)),
        _ => {}
    }
    let loaded = match Config::from_process(cli.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(error) => {
            say(&mut std::io::stderr(), &format!("forebay: {error}\n"));
            return ExitCode::from(USAGE);
        }
    };
    if let Err(error) = transcode::check_setting(&loaded.config.media.ladder) {
        say(
            &mut std::io::stderr(),
            &format!("forebay: FOREBAY_LADDER: {error}\n"),
        );
        return ExitCode::from(USAGE);
    }
    telemetry::install(loaded.config.log.format(), &loaded.config.log.rust_log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = runtime.context("cannot start").and_then(|runtime| {
        runtime.block_on(async {
            match command {
                Command::Serve => serve(&cli, loaded, false).await,
                Command::Demo => serve(&cli, loaded, true).await,
                Command::Check => Ok(checked(&loaded).await),
                command => administer(&loaded.config, &command).await,
            }
        })
    });
    match outcome {
        Ok(code) => code,
        Err(err) => {
            say(&mut std::io::stderr(), &format!("forebay: {err:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Runs the gateway until it is told to stop. A second signal ends it at once.
async fn serve(cli: &cli::Cli, loaded: Loaded, demo: bool) -> anyhow::Result<ExitCode> {
    for warning in &loaded.warnings {
        warn!("{warning}");
    }
    // Shells give 1024 descriptors; a connection takes one, and the origin alone admits 20,000.
    if let Err(err) = rlimit::increase_nofile_limit(u64::MAX) {
        warn!(%err, "the limit of open files stays as it is");
    }
    let worker = std::env::current_exe().context("cannot find the own program")?;
    let mut app = App::start(loaded.config, Clock::system(), worker).await?;
    let is_terminal = std::io::stdout().is_terminal();
    say(&mut std::io::stdout(), &app.banner(is_terminal));
    let picture = if demo {
        Some(app::demo::start(&app)?)
    } else {
        None
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => match Config::from_process(cli.config.as_deref()) {
                Ok(loaded) => app.reload(loaded.config),
                Err(err) => warn!(%err, "settings not reloaded, the old ones stay"),
            },
        }
    }
    info!("stopping");
    if let Some(picture) = picture {
        picture.stop().await;
    }
    tokio::select! {
        () = app.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(app::STOP_DEADLINE) => error!("not everything ended in time"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The end of a child process: what it has to say.
fn ended<E: Display>(outcome: Result<String, E>) -> ExitCode {
    match outcome {
        Ok(text) => {
            say(&mut std::io::stdout(), &text);
            ExitCode::SUCCESS
        }
        Err(err) => {
            say(&mut std::io::stderr(), &format!("{err}\n"));
            ExitCode::FAILURE
        }
    }
}

/// What a file is, as a line of JSON.
fn probe(file: &Path) -> anyhow::Result<String> {
    let probed = transcode::film::probe::run(file)?;
    Ok(serde_json::to_string(&probed)? + "\n")
}

/// `forebay check`.
async fn checked(loaded: &Loaded) -> ExitCode {
    let mut findings = check::findings(&loaded.config, &loaded.warnings);
    findings.extend(check::database(&loaded.config).await);
    findings.extend(check::livekit(&loaded.config, Clock::system().wall()).await);
    findings.extend(app::transcoder_findings());
    let (text, runs) = check::report(&findings);
    say(&mut std::io::stdout(), &text);
    if runs {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The commands that only touch the store.
async fn administer(config: &Config, command: &Command) -> anyhow::Result<ExitCode> {
    let clock = Clock::system();
    let store = commands::open(config, clock.clone()).await?;
    commands::prepare_new(&store, config).await?;
    let text = match command {
        Command::Token(command) => commands::token(&store, config, &clock, command).await?,
        Command::Application(command) => commands::application(&store, config, command).await?,
        Command::Key(command) => commands::key(&store, config, command).await?,
        Command::Serve
        | Command::Demo
        | Command::Check
        | Command::Worker { .. }
        | Command::ProbeMedia { .. }
        | Command::PrepareFilm { .. } => String::new(),
    };
    say(&mut std::io::stdout(), &text);
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

/// Writes text for the person at the terminal; a closed pipe is no reason to fail.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
