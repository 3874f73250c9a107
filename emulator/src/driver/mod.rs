//! The CUDA driver's C interface over the interpreter.
//!
//! Work runs when it is enqueued, in the calling thread; errors of a launch appear at the next call, as they do on a device.
//! Times of events come from a clock of its own that advances with the work done, so that a run gives the same times again.

mod api;
mod code;
mod config;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::{Counters, Device, Dim3, Entry, Kind, LaunchError, Module};
use config::Config;

/// A result code; `Err` holds what the call returns.
type Res<T = ()> = Result<T, u32>;

/// What a handle stands for. Handles are numbers, so that a wrong one is an error and not a crash.
enum Object {
    Context,
    Module(Module),
    Function(Function),
    Stream(Stream),
    Event(Event),
    Graph(Vec<Node>),
    Exec(Vec<Node>),
    Pool,
}

struct Function {
    entry: Entry,
    module: usize,
    name: CString,
    max_dynamic: u32,
    /// Whether clusters may be larger than every device with clusters allows.
    any_cluster: bool,
}

#[derive(Default)]
struct Stream {
    flags: u32,
    priority: i32,
    capture: Option<u64>,
    origin: bool,
}

#[derive(Default)]
struct Event {
    flags: u32,
    time: Option<u64>,
    /// Recorded after a launch that never ends.
    never: bool,
    /// When the slow work before it is over.
    after: Option<std::time::Instant>,
    capture: Option<u64>,
}

/// A piece of work on a stream.
#[derive(Clone)]
enum Node {
    Launch { f: usize, grid: Dim3, block: Dim3, cluster: Option<Dim3>, shared: u32, params: Vec<u8>, cooperative: bool },
    ToDevice { dst: u64, src: usize, len: usize },
    ToHost { dst: usize, src: u64, len: usize },
    OnDevice { dst: u64, src: u64, len: usize },
    HostToHost { dst: usize, src: usize, len: usize },
    Set { dst: u64, pattern: u32, width: usize, count: usize },
    Record { event: usize },
    Free { ptr: u64 },
    Host { f: usize, data: usize },
}

/// Everything behind the interface.
struct State {
    cfg: Config,
    ready: bool,
    dev: Device,
    objects: HashMap<usize, Object>,
    next: usize,
    primary: usize,
    primary_refs: u32,
    pool: usize,
    captures: HashMap<u64, Vec<Node>>,
    next_capture: u64,
    sticky: Option<u32>,
    hung: Option<std::time::Instant>,
    /// Until when the work enqueued so far takes, where a fault makes launches slow.
    busy: Option<std::time::Instant>,
    lost: bool,
    launches: u64,
    allocs: u64,
    clock: u64,
    jitter: u64,
    counters: Counters,
    findings: Vec<String>,
    host: HashSet<usize>,
    cache_config: u32,
}

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

fn state() -> MutexGuard<'static, State> {
    static STATE: OnceLock<Mutex<State>> = OnceLock::new();
    STATE.get_or_init(|| Mutex::new(State::new())).lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl State {
    fn new() -> Self {
        let cfg = Config::from_env();
        let mut dev = Device::new();
        dev.memory = crate::Memory::new(cfg.memory);
        dev.shared_limit = cfg.shared_optin();
        dev.options = cfg.options();
        Self {
            jitter: cfg.jitter.unwrap_or(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            cfg,
            ready: false,
            dev,
            objects: HashMap::new(),
            next: 0x1000,
            primary: 0,
            primary_refs: 0,
            pool: 0,
            captures: HashMap::new(),
            next_capture: 1,
            sticky: None,
            hung: None,
            busy: None,
            lost: false,
            launches: 0,
            allocs: 0,
            clock: 1_000_000,
            counters: Counters::default(),
            findings: Vec::new(),
            host: HashSet::new(),
            cache_config: 0,
        }
    }
    /// Frees all device memory; what the host shares goes with it, as with its context.
    fn clear_memory(&mut self) {
        self.dev.memory = crate::Memory::new(self.cfg.memory);
        self.host.clear();
    }
    fn add(&mut self, o: Object) -> usize {
        self.next += 0x10;
        self.objects.insert(self.next, o);
        self.next
    }
    fn usable(&self) -> Res {
        if !self.ready {
            return Err(code::NOT_INITIALIZED);
        }
        if self.lost {
            return Err(code::DEVICE_UNAVAILABLE);
        }
        Ok(())
    }
    /// As above, and there is a context, and no launch has failed in it.
    fn context(&self) -> Res {
        self.usable()?;
        let c = CURRENT.with(Cell::get);
        if c == 0 || !matches!(self.objects.get(&c), Some(Object::Context)) {
            return Err(code::INVALID_CONTEXT);
        }
        match self.sticky {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }
    fn function(&self, f: usize) -> Res<&Function> {
        match self.objects.get(&f) {
            Some(Object::Function(f)) => Ok(f),
            _ => Err(code::INVALID_HANDLE),
        }
    }
    /// A stream that was created; `None` for the default ones, whose handles are 0, 1 and 2.
    fn stream(&mut self, s: usize) -> Res<Option<&mut Stream>> {
        if s <= 2 {
            return Ok(None);
        }
        match self.objects.get_mut(&s) {
            Some(Object::Stream(s)) => Ok(Some(s)),
            _ => Err(code::INVALID_HANDLE),
        }
    }
    fn event(&mut self, e: usize) -> Res<&mut Event> {
        match self.objects.get_mut(&e) {
            Some(Object::Event(e)) => Ok(e),
            _ => Err(code::INVALID_HANDLE),
        }
    }
    fn capture_of(&mut self, s: usize) -> Res<Option<u64>> {
        Ok(self.stream(s)?.and_then(|s| s.capture))
    }
    /// Runs work, or keeps it where the stream is being captured.
    fn enqueue(&mut self, s: usize, n: Node) -> Res {
        if let Some(c) = self.capture_of(s)? {
            self.captures.get_mut(&c).ok_or(code::STREAM_CAPTURE_INVALIDATED)?.push(n);
            return Ok(());
        }
        self.execute(&n)
    }
    fn alloc(&mut self, len: usize) -> Res<u64> {
        if len == 0 {
            return Err(code::INVALID_VALUE);
        }
        self.allocs += 1;
        if self.cfg.oom.is_some_and(|n| self.allocs >= n) {
            return Err(code::OUT_OF_MEMORY);
        }
        self.dev.memory.alloc(len as u64, "").map_err(|_| code::OUT_OF_MEMORY)
    }

    fn execute(&mut self, n: &Node) -> Res {
        if self.hung.is_some() {
            // Behind a launch that never ends nothing runs. What frees or records is remembered by its effect only.
            if let Node::Record { event } = n {
                self.event(*event)?.never = true;
            }
            return Ok(());
        }
        let bad = |_| code::INVALID_VALUE;
        match n {
            Node::Launch { f, grid, block, cluster, shared, params, cooperative } => {
                self.dev.options.cooperative = *cooperative;
                return self.launch(*f, *grid, *block, *cluster, *shared, params);
            }
            Node::ToDevice { dst, src, len } => {
                // SAFETY: the caller of the copy promised that `len` bytes can be read at `src` until the copy is done.
                let s = unsafe { std::slice::from_raw_parts(*src as *const u8, *len) };
                self.dev.memory.write(*dst, s).map_err(bad)?;
                self.clock += 1000 + *len as u64 / 16;
            }
            Node::ToHost { dst, src, len } => {
                let mut buf = vec![0u8; *len];
                self.dev.memory.read(*src, &mut buf).map_err(bad)?;
                // SAFETY: the caller of the copy promised that `len` bytes can be written at `dst`; `buf` is our own.
                unsafe { std::ptr::copy_nonoverlapping(buf.as_ptr(), *dst as *mut u8, *len) };
                self.clock += 1000 + *len as u64 / 16;
            }
            Node::OnDevice { dst, src, len } => {
                self.dev.memory.copy(*dst, *src, *len as u64).map_err(bad)?;
                self.clock += 1000 + *len as u64 / 64;
            }
            Node::HostToHost { dst, src, len } => {
                // SAFETY: both ranges were promised by the caller of the copy; `copy` allows them to overlap.
                unsafe { std::ptr::copy(*src as *const u8, *dst as *mut u8, *len) };
            }
            Node::Set { dst, pattern, width, count } => {
                let one = &pattern.to_le_bytes()[..*width];
                let buf: Vec<u8> = one.iter().copied().cycle().take(width.saturating_mul(*count)).collect();
                self.dev.memory.write(*dst, &buf).map_err(bad)?;
                self.clock += 1000 + buf.len() as u64 / 64;
            }
            Node::Record { event } => {
                self.clock += 100;
                let (t, busy) = (self.clock, self.busy);
                let e = self.event(*event)?;
                (e.time, e.after, e.capture) = (Some(t), busy, None);
            }
            Node::Free { ptr } => self.dev.memory.free(*ptr).map_err(bad)?,
            Node::Host { f, data } => {
                // SAFETY: the caller gave a function of this type, to be called once with this argument.
                unsafe {
                    let f: unsafe extern "C" fn(*mut std::ffi::c_void) =
                        std::mem::transmute::<usize, unsafe extern "C" fn(*mut std::ffi::c_void)>(*f);
                    f(*data as *mut std::ffi::c_void);
                }
            }
        }
        Ok(())
    }

    fn launch(&mut self, f: usize, grid: Dim3, block: Dim3, cluster: Option<Dim3>, shared: u32, params: &[u8]) -> Res {
        self.launches += 1;
        let n = self.launches;
        if self.cfg.lost == Some(n) {
            self.lost = true;
            return Ok(());
        }
        if self.cfg.illegal == Some(n) {
            eprintln!("gpu-emulator: launch {n}: illegal address, as asked for");
            self.sticky = Some(code::ILLEGAL_ADDRESS);
            return Ok(());
        }
        if self.cfg.hang.is_some_and(|h| h.0 == n) {
            self.hung = Some(std::time::Instant::now());
            return Ok(());
        }
        let entry = self.function(f)?.entry.clone();
        let before = self.clock;
        self.dev.options.clock = before + 1000;
        let done = self.dev.launch_clusters(&entry, grid, block, cluster, shared, params);
        self.dev.options.written_once.clear();
        match done {
            Ok(r) => {
                self.clock = before + 2000 + r.ticks / u64::from(self.cfg.sms.max(1));
                if let Some(ms) = self.cfg.slow {
                    let now = std::time::Instant::now();
                    self.busy = Some(self.busy.map_or(now, |b| b.max(now)) + std::time::Duration::from_millis(ms));
                    self.clock += ms * 1_000_000;
                }
                if !r.printed.is_empty() {
                    // As the driver does, to the program's standard output.
                    let mut out = std::io::stdout().lock();
                    let _ = std::io::Write::write_all(&mut out, r.printed.as_bytes());
                    let _ = std::io::Write::flush(&mut out);
                }
                self.counters.add(&r.counters);
                for x in &r.findings {
                    let s = x.to_string();
                    if !self.cfg.quiet {
                        eprintln!("gpu-emulator: launch {n}: {s}");
                    }
                    if self.findings.len() < 1000 {
                        self.findings.push(s);
                    }
                }
                self.sticky = match r.fault {
                    None if self.cfg.strict && !r.findings.is_empty() => Some(code::LAUNCH_FAILED),
                    None => None,
                    Some(Kind::OutOfBounds | Kind::ReadOnly) => Some(code::ILLEGAL_ADDRESS),
                    Some(Kind::Misaligned) => Some(code::MISALIGNED_ADDRESS),
                    Some(Kind::Timeout | Kind::Deadlock) => Some(code::LAUNCH_TIMEOUT),
                    Some(_) => Some(code::LAUNCH_FAILED),
                };
                Ok(())
            }
            Err(LaunchError::SharedMemory { .. } | LaunchError::Dimensions(_) | LaunchError::Parameters { .. }) => {
                Err(code::INVALID_VALUE)
            }
        }
    }

    /// Whether launches made slow are still under way.
    fn working(&self) -> bool {
        self.busy.is_some_and(|until| std::time::Instant::now() < until)
    }

    /// A number in [0, 1) for the times of events.
    fn random(&mut self) -> f64 {
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        (self.jitter >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Waits as a host thread does behind a launch that never ends. Not to be called with the state locked.
fn wait_idle() -> Res {
    loop {
        {
            let mut s = state();
            s.context()?;
            match s.hung {
                None if s.working() => {}
                None => return Ok(()),
                Some(since) => {
                    if let Some((_, Some(ms))) = s.cfg.hang
                        && since.elapsed() >= std::time::Duration::from_millis(ms)
                    {
                        s.hung = None;
                        s.sticky = Some(code::LAUNCH_TIMEOUT);
                        return Err(code::LAUNCH_TIMEOUT);
                    }
                }
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
