//! Who measures a unit: this process, or one of its own that may die.
//!
//! A CUDA context that has seen an illegal address fails every later call of its process, and a launch that never ends cannot be
//! stopped from within. So on a GPU the cells are measured by a child, and the parent, which never opens the device, keeps the
//! journal. The two speak in lines of JSON over the child's standard input and output.

use super::execute::{Conditions, Executor, UnitOutcome, blank};
use super::plan::Cell;
use crate::device::{self, DeviceChoice, DeviceError};
use crate::record::{DeviceRecord, Status};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;
use thiserror::Error;

/// What the parent says first, and then for each unit.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase")]
enum Request {
    Open { device: String, conditions: Conditions },
    Run { cells: Vec<Cell>, at_ns: u64 },
}

/// What the child answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "lowercase")]
enum Answer {
    Opened { device: Box<DeviceRecord> },
    Refused { why: String },
    Alive,
    Done { outcome: UnitOutcome },
}

/// A worker that cannot be had.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The device cannot be opened.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The child's process cannot be started.
    #[error("cannot start a worker process from {program}: {source}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It started and did not open the device.
    #[error("the worker process could not open the device: {why}")]
    Open {
        /// What it said, or how it ended.
        why: String,
    },
}

/// How cells are measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// In this process.
    None,
    /// In a child: `program worker`, ended after `watchdog` without a sign of life. It gives one between launches.
    Process {
        /// A program that calls [`serve`] when its first argument is `worker`.
        program: PathBuf,
        /// The longest that a launch, the preparation of a unit or its check may take.
        watchdog: Duration,
    },
}

/// Somebody who measures units.
pub struct Worker {
    choice: DeviceChoice,
    conditions: Conditions,
    isolation: Isolation,
    state: State,
}

enum State {
    Inside(Box<Executor>),
    Outside(Process),
    /// The child died; the next unit starts another.
    Gone,
}

struct Process {
    child: Child,
    requests: ChildStdin,
    answers: Receiver<String>,
    errors: Receiver<String>,
}

impl Worker {
    /// Opens the device, here or in a child.
    ///
    /// # Errors
    /// The device cannot be opened or the child not started.
    pub fn open(choice: DeviceChoice, conditions: Conditions, isolation: Isolation) -> Result<Self, WorkerError> {
        let state = start(choice, &conditions, &isolation)?;
        Ok(Worker { choice, conditions, isolation, state })
    }

    /// Measures a unit. A child that dies or hangs costs this unit and no other.
    ///
    /// # Errors
    /// After a death no new child can be had.
    pub fn run(&mut self, cells: &[Cell], at_ns: u64, device: &str) -> Result<UnitOutcome, WorkerError> {
        if matches!(self.state, State::Gone) {
            self.state = start(self.choice, &self.conditions, &self.isolation)?;
        }
        let outcome = match &mut self.state {
            State::Inside(executor) => executor.run(cells, at_ns),
            State::Outside(process) => {
                let watchdog = match self.isolation {
                    Isolation::Process { watchdog, .. } => watchdog,
                    Isolation::None => Duration::MAX,
                };
                match process.run(cells, at_ns, watchdog) {
                    Ok(outcome) => outcome,
                    Err(reason) => {
                        let failed = |cell| {
                            let mut record = blank(cell, device);
                            record.status = Status::Failed;
                            record.reason = Some(reason.clone());
                            record
                        };
                        UnitOutcome { records: cells.iter().map(failed).collect(), kernel_ns: 0, fatal: true }
                    }
                }
            }
            State::Gone => unreachable!("started above"),
        };
        if outcome.fatal && matches!(self.state, State::Outside(_)) {
            self.state = State::Gone;
        }
        Ok(outcome)
    }
}

fn start(choice: DeviceChoice, conditions: &Conditions, isolation: &Isolation) -> Result<State, WorkerError> {
    match isolation {
        Isolation::None => Ok(State::Inside(Box::new(Executor::new(device::open(choice)?, conditions.clone())))),
        Isolation::Process { program, watchdog } => {
            let mut process = Process::start(program)?;
            let request = Request::Open { device: choice.to_string(), conditions: conditions.clone() };
            let why = match process.ask(&request, *watchdog) {
                Ok(Answer::Opened { .. }) => return Ok(State::Outside(process)),
                Ok(Answer::Refused { why }) => why,
                Ok(Answer::Done { .. } | Answer::Alive) => "it answered a question that was not asked".to_owned(),
                Err(why) => why,
            };
            Err(WorkerError::Open { why })
        }
    }
}

impl Process {
    fn start(program: &PathBuf) -> Result<Self, WorkerError> {
        let mut command = Command::new(program);
        command.arg("worker").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        {
            // Ctrl-C in the terminal is the parent's affair: it ends the run after the unit in flight.
            use std::os::unix::process::CommandExt;
            command.process_group(0);
        }
        let mut child = command.spawn().map_err(|source| WorkerError::Start { program: program.clone(), source })?;
        let requests = child.stdin.take().expect("stdin is piped");
        let answers = lines_of(child.stdout.take().expect("stdout is piped"));
        let errors = lines_of(child.stderr.take().expect("stderr is piped"));
        Ok(Process { child, requests, answers, errors })
    }

    fn ask(&mut self, request: &Request, patience: Duration) -> Result<Answer, String> {
        let mut line = serde_json::to_string(request).expect("requests are plain data");
        line.push('\n');
        // A child that is gone breaks the pipe; how it ended is told below.
        let _ = self.requests.write_all(line.as_bytes()).and_then(|()| self.requests.flush());
        loop {
            match self.answers.recv_timeout(patience) {
                Ok(answer) => match serde_json::from_str(&answer) {
                    // It is at work: the watchdog's time begins anew.
                    Ok(Answer::Alive) => {}
                    Ok(answer) => return Ok(answer),
                    Err(error) => return Err(format!("the worker answered nonsense: {error}")),
                },
                Err(RecvTimeoutError::Timeout) => {
                    let _ = self.child.kill();
                    return Err(format!(
                        "no answer within {} s: a launch hangs, or takes longer than --watchdog allows; the worker was ended",
                        patience.as_secs_f64()
                    ));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.last_words()),
            }
        }
    }

    fn run(&mut self, cells: &[Cell], at_ns: u64, watchdog: Duration) -> Result<UnitOutcome, String> {
        match self.ask(&Request::Run { cells: cells.to_vec(), at_ns }, watchdog)? {
            Answer::Done { outcome } if outcome.records.len() == cells.len() => Ok(outcome),
            _ => Err("the worker answered a question that was not asked".to_owned()),
        }
    }

    fn last_words(&mut self) -> String {
        let ended = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let said: Vec<String> = self.errors.iter().collect();
        let tail = said.iter().rev().take(3).rev().map(String::as_str).collect::<Vec<_>>().join(" | ");
        if tail.is_empty() { format!("the worker died: {ended}") } else { format!("the worker died: {ended}: {tail}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The child's side: answers requests from standard input until it ends.
///
/// # Errors
/// Standard output is gone, or a request is not one.
pub fn serve() -> std::io::Result<()> {
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
        // The parent is gone: whatever is being measured here has no reader, and a hung launch would keep the device.
        std::process::exit(0);
    });
    let mut stdout = std::io::stdout().lock();
    let mut executor = None;
    for line in requests {
        let answer = match serde_json::from_str(&line)? {
            Request::Open { device: text, conditions } => match open(&text, conditions) {
                Ok(opened) => {
                    let device = Box::new(opened.device().info().record.clone());
                    executor = Some(opened);
                    Answer::Opened { device }
                }
                Err(why) => Answer::Refused { why },
            },
            Request::Run { cells, at_ns } => match &mut executor {
                Some(executor) => Answer::Done { outcome: executor.run(&cells, at_ns) },
                None => Answer::Refused { why: "no device has been opened".to_owned() },
            },
        };
        serde_json::to_writer(&mut stdout, &answer)?;
        stdout.write_all(b"\n")?;
        stdout.flush()?;
    }
    Ok(())
}

fn open(text: &str, conditions: Conditions) -> Result<Executor, String> {
    let device = device::open(text.parse()?).map_err(|e| e.to_string())?;
    Ok(Executor::new(device, conditions).with_heartbeat(alive))
}

/// Tells the parent that no launch hangs. If nobody reads it any more, standard input ends as well, and with it this process.
fn alive() {
    let line = serde_json::to_string(&Answer::Alive).expect("answers are plain data");
    let _ = writeln!(std::io::stdout(), "{line}");
}
