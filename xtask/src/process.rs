//! Running programs with a log.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The log of one step: everything its programs print.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path, file })
    }

    pub(crate) fn note(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}")
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Runs a program to its end; an error shows the last lines of the log.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        let name = command.get_program().to_string_lossy().into_owned();
        self.note(&format!("+ {command:?}"))?;
        let out = self.file.try_clone().context("cannot share the log")?;
        let err = self.file.try_clone().context("cannot share the log")?;
        let status = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .status()
            .with_context(|| format!("cannot start {name}"))?;
        if !status.success() {
            bail!(
                "{name} failed ({status}); the end of {}:\n{}",
                self.path.display(),
                tail(&self.path, 40)
            );
        }
        Ok(())
    }

    /// As [`Log::run`], and returns what the program prints on its standard output.
    pub(crate) fn output(&mut self, command: &mut Command) -> Result<String> {
        let name = command.get_program().to_string_lossy().into_owned();
        self.note(&format!("+ {command:?}"))?;
        let err = self.file.try_clone().context("cannot share the log")?;
        let output = command
            .stdin(Stdio::null())
            .stderr(err)
            .output()
            .with_context(|| format!("cannot start {name}"))?;
        self.file.write_all(&output.stdout).context("cannot write the log")?;
        if !output.status.success() {
            bail!(
                "{name} failed ({}); the end of {}:\n{}",
                output.status,
                self.path.display(),
                tail(&self.path, 40)
            );
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("{name} printed something that is not UTF-8"))
    }
}

fn tail(path: &Path, lines: usize) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Is this program on the search path?
pub(crate) fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Must this build install packages? Then it must be root.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Installs host packages whose files are missing. `(package, a file or program of it)`.
pub(crate) fn ensure_host_packages(packages: &[(&str, &str)], log: &mut Log) -> Result<()> {
    let missing: Vec<&str> =
        packages
            .iter()
            .filter(|(_, probe)| {
                if probe.starts_with('/') { !Path::new(probe).exists() } else { !installed(probe) }
            })
            .map(|(package, _)| *package)
            .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_root() {
        bail!("install these packages first (or run as root): {}", missing.join(" "));
    }
    log.run(Command::new("apt-get").arg("update"))?;
    log.run(
        Command::new("apt-get")
            .args(["install", "-y", "--no-install-recommends"])
            .args(&missing)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
