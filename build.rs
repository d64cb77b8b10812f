//! Builds the web console (`static/`) and leaves it in `OUT_DIR/console`, where `src/console` embeds it.
//!
//! npm is asked only when it has something to do: `npm ci` when the lockfile is another than the one
//! `static/node_modules` was made from, `npm run build` when a web source is another than at the last build
//! of this profile. The packages are shared by all profiles, since they are large and people want them for
//! `npm run dev` as well; two builds at once take turns by a file lock. `CONSOLE_SKIP_WEB=1` asks for
//! nothing and leaves a page that says so. Beside it stands `embedded.rs`, which names it to `src/console`.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, exit};

const SWITCH: &str = "CONSOLE_SKIP_WEB";
const NODE_MIN: u32 = 20;
const PLACEHOLDER: &str = "src/console/placeholder.html";
/// What the console is made of, below `static`.
const SOURCES: [&str; 9] = [
    "src",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    "vite.config.ts",
    "tsconfig.json",
    "tsconfig.app.json",
    "tsconfig.node.json",
];

fn main() {
    println!("cargo::rerun-if-env-changed={SWITCH}");
    for path in ["build.rs", PLACEHOLDER] {
        println!("cargo::rerun-if-changed={path}");
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed=static/{source}");
    }
    let skip = std::env::var_os(SWITCH).is_some_and(|value| !value.is_empty() && value != "0");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let outcome = if skip {
        placeholder(&out)
    } else {
        console(Path::new("static"), &out)
    };
    if let Err(cause) = outcome.and_then(|()| embedded(&out)) {
        fail(&format!("the web console cannot be built: {cause}"), false);
    }
}

/// What is embedded, by the whole path of where it was built: what would find the path by a variable in the attribute
/// (`interpolate-folder-path`) brings a licence that is not permissive.
fn embedded(out: &Path) -> io::Result<()> {
    let folder = out.join("console");
    let source = format!(
        "#[derive(RustEmbed)]\n#[folder = {folder:?}]\n#[exclude = \".vite/*\"]\nstruct Embedded;\n"
    );
    fs::write(out.join("embedded.rs"), source)
}

fn placeholder(out: &Path) -> io::Result<()> {
    let folder = out.join("console");
    remove(&folder)?;
    let _ = fs::remove_file(out.join("console.stamp"));
    fs::create_dir_all(&folder)?;
    fs::copy(PLACEHOLDER, folder.join("index.html")).map(drop)
}

fn console(web: &Path, out: &Path) -> io::Result<()> {
    let (built, stamp) = (out.join("console"), out.join("console.stamp"));
    let sources = fingerprint(web)?;
    if built.join("index.html").exists() && fs::read_to_string(&stamp).is_ok_and(|s| s == sources) {
        return Ok(());
    }
    demand_node();
    let lock = File::create(web.join(".build-lock"))?;
    lock.lock()?;
    install(web)?;
    // Complete or absent: a build that breaks off leaves nothing that could be taken for a console.
    let _ = fs::remove_file(&stamp);
    let fresh = out.join("console.new");
    remove(&fresh)?;
    run(npm(web)
        .args(["run", "build"])
        .env("STEWARD_WEB_OUT", &fresh));
    remove(&built)?;
    fs::rename(&fresh, &built)?;
    fs::write(&stamp, sources)
}

/// Makes `node_modules` what the lockfile says.
fn install(web: &Path) -> io::Result<()> {
    let (wanted, stamp) = (
        web.join("package-lock.json"),
        web.join("node_modules/.made-from"),
    );
    if fs::read(&stamp).ok() == Some(fs::read(&wanted)?) {
        return Ok(());
    }
    // A NODE_ENV of production would leave the build's own tools out.
    let arguments = [
        "ci",
        "--include=dev",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ];
    run(npm(web).args(arguments));
    fs::copy(&wanted, &stamp).map(drop)
}

fn npm(web: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(web);
    npm
}

/// Ends the build with one sentence unless there is a Node that is new enough.
fn demand_node() {
    let version = |program: &str| {
        let Output { status, stdout, .. } = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8(stdout).ok()?;
        status.success().then(|| text.trim().to_owned())
    };
    let found = version("node");
    let major = found.as_deref().and_then(|version| {
        version
            .trim_start_matches('v')
            .split('.')
            .next()?
            .parse::<u32>()
            .ok()
    });
    let missing = match (&found, major) {
        (_, Some(major)) if major >= NODE_MIN => match version("npm") {
            Some(_) => return,
            None => "npm was not found beside it".to_owned(),
        },
        (Some(version), _) => format!("this is {version}"),
        (None, _) => "no Node was found".to_owned(),
    };
    fail(
        &format!(
            "the web console is built with Node {NODE_MIN} or newer, and {missing}: install it from https://nodejs.org, or \
         build without the console by {SWITCH}=1"
        ),
        false,
    );
}

/// Runs to the end; when that is a bad one, shows what the program said and ends the build.
#[allow(
    clippy::print_stderr,
    reason = "cargo shows a build script's failure so"
)]
fn run(command: &mut Command) {
    let shown = format!("{command:?}").replace('"', "");
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            for text in [&output.stdout, &output.stderr] {
                for line in String::from_utf8_lossy(text).lines() {
                    eprintln!("{line}");
                }
            }
            fail(
                &format!(
                    "`{shown}` failed ({}); its own words are below",
                    output.status
                ),
                true,
            );
        }
        Err(cause) => fail(&format!("`{shown}` cannot be started: {cause}"), false),
    }
}

/// Ends the build. The script itself ends well where the sentence is all there is to say: after a bad end cargo
/// would bury it under the script's whole output, which is right only for what npm said.
fn fail(sentence: &str, said_more: bool) -> ! {
    println!("cargo::error={sentence}");
    exit(i32::from(said_more))
}

/// What the sources say, in a few characters. Only ever compared with what the same program wrote.
fn fingerprint(web: &Path) -> io::Result<String> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        digest(&web.join(source), &mut hasher)?;
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn digest(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    path.hash(hasher);
    if path.is_dir() {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| digest(entry, hasher));
    }
    let tested = path.to_string_lossy();
    if tested.ends_with(".test.ts") {
        return Ok(());
    }
    fs::read(path)?.hash(hasher);
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}
