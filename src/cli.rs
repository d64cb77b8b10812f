//! What each command of `steward` does, and the exit code it ends with.
//!
//! Exit codes: 0 done; 1 refused or failed, the reason on standard error; 70 the supervision tree gave up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::alert_test;
use crate::config::Config;
use crate::demo;
use crate::startup::{self, RestoreFrom, StartError};
use crate::telemetry;

/// A self-hosted LLM gateway and operations console.
#[derive(Debug, Parser)]
#[command(name = "steward", version, about)]
pub struct Cli {
    /// Configuration file (TOML); see `steward config print` for every key.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the databases, the spool and the key file; overrides `data.dir`.
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run Steward until it is told to stop (SIGTERM or Ctrl-C drains and exits 0).
    Serve {
        /// Address and port; overrides `server.listen`.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Run Steward with simulated providers, clients and 30 days of history; touches no real data.
    Demo {
        /// Address and port; overrides `server.listen`.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
        /// Days of history written at the first start.
        #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=90))]
        history_days: u32,
        /// Simulated calls a second, on average over a day; 0 sends none.
        #[arg(long, value_name = "RATE", default_value_t = 5.0, value_parser = rate)]
        calls_per_second: f64,
    },
    /// Bring the databases to this version's schema and exit.
    Migrate,
    /// Put a backup into an empty data directory, or an empty PostgreSQL database (`database.url`), and compare it.
    Restore {
        /// The folder backups are in, or s3://BUCKET/PREFIX (keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).
        #[arg(long, value_name = "PLACE")]
        from: String,
        /// The backup's name; the newest unless given.
        #[arg(long, value_name = "NAME")]
        backup: Option<String>,
        /// Your copy of the key file, unless the data directory has it.
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Of a bucket, such as https://s3.eu-central-1.amazonaws.com.
        #[arg(long, value_name = "URL", default_value = "")]
        endpoint: String,
        #[arg(long, value_name = "REGION", default_value = "us-east-1")]
        region: String,
    },
    /// Show or check the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Add operators or set their passwords, without the server.
    #[command(subcommand)]
    User(UserCommand),
    /// The key file that seals secrets at rest.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Alert rules.
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Print the OpenAPI document of the HTTP API.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum AlertCommand {
    /// Run the rules of a file against the readings written in it, in virtual time; fails when a test does.
    Test {
        /// TOML file with [[rule]] and [[test]]; the default rules are one.
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the configuration in force, secrets masked.
    Print,
    /// Say whether the configuration is valid.
    Check,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add an operator. The password is read from standard input.
    Add {
        username: String,
        /// ops_admin, ops_viewer or a role of your own.
        #[arg(long, default_value = "ops_viewer")]
        role: String,
    },
    /// Set an operator's password, read from standard input; ends the operator's sessions.
    Passwd { username: String },
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a new key the current one and seal every stored secret with it.
    Rotate,
}

/// Runs one command to its end.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(code) => code,
        Err(cause) => {
            say(&format!("steward: {cause}"));
            ExitCode::from(status_of(&cause))
        }
    }
}

const fn status_of(cause: &StartError) -> u8 {
    match cause {
        StartError::TreeGaveUp(_) => 70,
        _ => 1,
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, StartError> {
    if matches!(cli.command, Command::Openapi) {
        print(crate::http::openapi::document_json());
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::Alert(AlertCommand::Test { file }) = &cli.command {
        return Ok(test_alerts(file));
    }
    let mut config = Config::load(cli.config.as_deref(), std::env::vars())?;
    let directory_given = cli.data_dir.is_some();
    if let Some(dir) = cli.data_dir {
        config.data.dir = dir;
    }
    match cli.command {
        Command::Demo {
            listen,
            history_days,
            calls_per_second,
        } => {
            if let Some(listen) = listen {
                config.server.listen = listen;
            }
            // Beside the real data's place, never in it.
            if !directory_given {
                config.data.dir = config.data.dir.join("demo");
            }
            telemetry::install(&config.log)?;
            startup::demonstrate(
                config,
                demo::Options {
                    history_days,
                    calls_per_second,
                },
            )
        }
        Command::Serve { listen } => {
            if let Some(listen) = listen {
                config.server.listen = listen;
            }
            telemetry::install(&config.log)?;
            startup::serve(config)
        }
        Command::Config(ConfigCommand::Print) => {
            print(&config.print());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(ConfigCommand::Check) => {
            print("The configuration is valid.");
            Ok(ExitCode::SUCCESS)
        }
        Command::Migrate => {
            telemetry::install(&config.log)?;
            startup::block_on(startup::migrate(&config))?;
            print("The databases are up to date.");
            Ok(ExitCode::SUCCESS)
        }
        Command::Restore {
            from,
            backup,
            key_file,
            endpoint,
            region,
        } => {
            telemetry::install(&config.log)?;
            let key = |name| std::env::var(name).unwrap_or_default();
            let from = RestoreFrom {
                place: from,
                endpoint,
                region,
                access_key: key("AWS_ACCESS_KEY_ID"),
                secret_key: key("AWS_SECRET_ACCESS_KEY"),
                backup,
                key_file,
            };
            let done = startup::block_on(startup::restore(&config, &from, say))?;
            print(&match done {
                None => "The restore that was interrupted is finished.".to_owned(),
                Some((manifest, restored)) => format!(
                    "Restored {}: {} tables with {} rows and {} kept conversations, the same as when it was made. \
                     `steward serve` goes on from there.",
                    manifest.name, restored.tables, restored.rows, restored.contents
                ),
            });
            Ok(ExitCode::SUCCESS)
        }
        Command::User(UserCommand::Add { username, role }) => {
            let password = read_password()?;
            startup::block_on(startup::add_operator(&config, &username, &role, &password))?;
            print(&format!("Operator {username} was added with role {role}."));
            Ok(ExitCode::SUCCESS)
        }
        Command::User(UserCommand::Passwd { username }) => {
            let password = read_password()?;
            startup::block_on(startup::set_password(&config, &username, &password))?;
            print(&format!(
                "The password of {username} was set; sessions have ended."
            ));
            Ok(ExitCode::SUCCESS)
        }
        Command::Keys(KeysCommand::Rotate) => {
            let resealed = startup::block_on(startup::rotate_keys(&config))?;
            print(&format!(
                "A new key is current; {resealed} stored secrets were sealed with it."
            ));
            Ok(ExitCode::SUCCESS)
        }
        // Done above: they need no configuration.
        Command::Openapi | Command::Alert(_) => Ok(ExitCode::SUCCESS),
    }
}

fn test_alerts(file: &Path) -> ExitCode {
    let report = std::fs::read_to_string(file)
        .map_err(|cause| cause.to_string())
        .and_then(|text| alert_test::run(&text));
    match report {
        Ok(report) => {
            print(&report.text);
            if report.failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(why) => {
            say(&format!("steward: {}: {why}", file.display()));
            ExitCode::FAILURE
        }
    }
}

/// A rate that one process can send to itself.
fn rate(text: &str) -> Result<f64, String> {
    let refused = || "must be a number between 0 and 200".to_owned();
    let rate: f64 = text.parse().map_err(|_| refused())?;
    if (0.0..=200.0).contains(&rate) {
        Ok(rate)
    } else {
        Err(refused())
    }
}

fn read_password() -> Result<String, StartError> {
    say("Password (read from standard input, ends at the line's end):");
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(StartError::Input)?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    if line.is_empty() {
        return Err(StartError::EmptyPassword);
    }
    Ok(line)
}

#[allow(
    clippy::print_stdout,
    reason = "standard output is what this command is asked for"
)]
fn print(text: &str) {
    println!("{}", text.trim_end());
}

#[allow(clippy::print_stderr, reason = "the command line's own messages")]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_gave_up_is_told_from_what_was_refused() {
        assert_eq!(status_of(&StartError::TreeGaveUp("ledger".into())), 70);
        assert_eq!(status_of(&StartError::EmptyPassword), 1);
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
