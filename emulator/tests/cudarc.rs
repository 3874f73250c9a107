//! cudarc 0.19.10, unchanged, on the shared library: end to end, and with faults.
//!
//! The library reads its settings once, so every scenario is a process of its own: the tests below start this program again.

use std::process::{Command, Output};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, DriverError, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

const PTX: &str = "
.version 8.0
.target sm_80
.address_size 64
.file 1 \"kernels/add.cu\"
.global .align 4 .u32 calls = 7;
.extern .shared .align 16 .b8 dyn[];
.visible .entry add(.param .u64 pa, .param .u64 pb, .param .u64 pc, .param .u32 n)
{
    .reg .pred %p<2>; .reg .b32 %r<6>; .reg .f32 %f<4>; .reg .b64 %rd<8>;
    ld.param.u64 %rd1, [pa]; ld.param.u64 %rd2, [pb]; ld.param.u64 %rd3, [pc]; ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p1, %r5, %r1;
    @%p1 bra DONE;
    mul.wide.u32 %rd4, %r5, 4;
    add.s64 %rd5, %rd1, %rd4; add.s64 %rd6, %rd2, %rd4; add.s64 %rd7, %rd3, %rd4;
    .loc 1 42 5
    ld.global.f32 %f1, [%rd5]; ld.global.f32 %f2, [%rd6];
    add.f32 %f3, %f1, %f2;
    .loc 1 43 5
    st.global.f32 [%rd7], %f3;
DONE:
    ret;
}
.visible .entry stamp(.param .u64 p)
{
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [p];
    mov.u64 %rd2, %globaltimer; mov.u64 %rd3, %clock64;
    st.global.v2.u64 [%rd1], {%rd2, %rd3};
    ret;
}
.visible .entry big_shared(.param .u64 p)
{
    .reg .b32 %r<3>; .reg .b64 %rd<2>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, dyn;
    mov.u32 %r2, 5;
    st.shared.u32 [%r1+65532], %r2;
    ld.shared.u32 %r2, [%r1+65532];
    st.global.u32 [%rd1], %r2;
    ret;
}";

fn library() -> std::path::PathBuf {
    let exe = std::env::current_exe().expect("this program has a path");
    exe.parent().expect("a folder").join("libgpu_emulator.so")
}

/// Loads the emulator so that cudarc takes it for the driver.
fn load() {
    // SAFETY: opening the library runs no code but its loader's.
    let lib = unsafe { Library::open(Some(library()), RTLD_NOW | RTLD_GLOBAL) }.expect("the emulator opens");
    std::mem::forget(lib);
}

/// Names the scenario that a child is to run.
const SCENARIO: &str = "SCENARIO";

/// What runs in a process of its own, since a process has one driver and a lost context stays lost.
const SCENARIOS: [(&str, fn()); 21] = [
    ("end_to_end", end_to_end),
    ("shared_memory_limit", shared_memory_limit),
    ("clocks_go_on", clocks_go_on),
    ("graph_by_capture", graph_by_capture),
    ("mapped_host_memory", mapped_host_memory),
    ("tensor_maps", tensor_maps),
    ("binaries_are_refused", binaries_are_refused),
    ("out_of_bounds_is_sticky", out_of_bounds_is_sticky),
    ("misaligned_is_sticky", misaligned_is_sticky),
    ("fault_oom", fault_oom),
    ("fault_illegal_address", fault_illegal_address),
    ("fault_hang", fault_hang),
    ("fault_lost", fault_lost),
    ("fault_no_device", fault_no_device),
    ("fault_stub", fault_stub),
    ("driver_version", driver_version),
    ("counters_are_exported", counters_are_exported),
    ("jitter", jitter),
    ("slow", slow),
    ("prints", prints),
    ("clusters_and_numerics", clusters_and_numerics),
];

/// The child's side. In the parent it sees to it that every scenario can be asked for by its name.
#[test]
fn in_a_child() {
    let Some(name) = std::env::var_os(SCENARIO) else {
        let mut names = SCENARIOS.map(|(name, _)| name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two scenarios share a name");
        return;
    };
    let named = SCENARIOS.iter().find(|(scenario, _)| name == *scenario);
    named.unwrap_or_else(|| panic!("there is no scenario {name:?}")).1();
}

fn child(name: &str, env: &[(&str, &str)]) -> Output {
    let exe = std::env::current_exe().expect("this program has a path");
    let mut c = Command::new(exe);
    c.args(["--exact", "in_a_child", "--nocapture", "--test-threads=1"]).env(SCENARIO, name);
    for (k, v) in env {
        c.env(k, v);
    }
    c.output().expect("the child runs")
}
fn passes(name: &str, env: &[(&str, &str)]) -> String {
    let o = child(name, env);
    let text = format!("{}{}", String::from_utf8_lossy(&o.stdout), String::from_utf8_lossy(&o.stderr));
    assert!(o.status.success(), "{name} failed:\n{text}");
    assert!(text.contains("1 passed"), "{name} did not run:\n{text}");
    text
}

struct Setup {
    ctx: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    add: CudaFunction,
    a: CudaSlice<f32>,
    b: CudaSlice<f32>,
    c: CudaSlice<f32>,
}
const N: u32 = 1000;

fn setup() -> Result<Setup, DriverError> {
    load();
    let ctx = CudaContext::new(0)?;
    // SAFETY: everything here runs on one stream.
    unsafe { ctx.disable_event_tracking() };
    let stream = ctx.new_stream()?;
    let module = ctx.load_module(Ptx::from_src(PTX))?;
    let add = module.load_function("add")?;
    let host: Vec<f32> = (0..N).map(|x| x as f32).collect();
    let a = stream.clone_htod(&host)?;
    let b = stream.clone_htod(&host)?;
    let c = stream.alloc_zeros::<f32>(N as usize)?;
    Ok(Setup { ctx, stream, add, a, b, c })
}
impl Setup {
    fn launch(&mut self, n: u32) -> Result<(), DriverError> {
        let cfg = LaunchConfig { grid_dim: (n.div_ceil(128), 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the arguments are those of the kernel; a wrong `n` is what some tests are about.
        unsafe { self.stream.launch_builder(&self.add).arg(&self.a).arg(&self.b).arg(&mut self.c).arg(&n).launch(cfg) }
            .map(|_| ())
    }
}
fn code<T>(r: Result<T, DriverError>) -> Option<CUresult> {
    r.err().map(|e| e.0)
}

fn end_to_end() {
    let mut s = setup().unwrap();
    assert_eq!(s.ctx.name().unwrap(), "gpu-emulator (software)");
    let want = if std::env::var("GPU_EMULATOR_CC").is_ok() { (8, 0) } else { (9, 0) };
    assert_eq!(s.ctx.compute_capability().unwrap(), want);
    assert_eq!(CudaContext::device_count().unwrap(), 1);
    assert!(s.ctx.total_mem().unwrap() > 1 << 30);
    let sms = s.ctx.attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT).unwrap();
    assert_eq!(sms, 4);
    s.launch(N).unwrap();
    let out = s.stream.clone_dtoh(&s.c).unwrap();
    s.stream.synchronize().unwrap();
    assert!(out.iter().enumerate().all(|(i, x)| *x == 2.0 * i as f32));

    // Pinned memory, fills, a copy on the device.
    // SAFETY: the buffer is filled by the copy before it is read.
    let mut pinned = unsafe { s.ctx.alloc_pinned_with_flags::<f32>(N as usize, 0) }.unwrap();
    s.stream.memcpy_dtoh(&s.c, &mut pinned).unwrap();
    assert_eq!(pinned.as_slice().unwrap()[10], 20.0);
    s.stream.memset_zeros(&mut s.c).unwrap();
    s.stream.memcpy_dtod(&s.a, &mut s.c).unwrap();
    assert_eq!(s.stream.clone_dtoh(&s.c).unwrap()[17], 17.0);

    // Events: later ones have later times.
    let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let e0 = s.stream.record_event(flags).unwrap();
    s.launch(N).unwrap();
    let e1 = s.stream.record_event(flags).unwrap();
    assert!(e0.elapsed_ms(&e1).unwrap() > 0.0);

    // Function attributes and occupancy.
    assert_eq!(s.add.shared_size_bytes().unwrap(), 0);
    assert!(s.add.occupancy_max_active_blocks_per_multiprocessor(128, 0, None).unwrap() >= 1);
}

fn shared_memory_limit() {
    let s = setup().unwrap();
    let module = s.ctx.load_module(Ptx::from_src(PTX)).unwrap();
    let f = module.load_function("big_shared").unwrap();
    let mut out = s.stream.alloc_zeros::<u32>(1).unwrap();
    let cfg = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 65536 };
    // SAFETY: the argument is the kernel's.
    let mut go = |f: &CudaFunction| unsafe { s.stream.launch_builder(f).arg(&mut out).launch(cfg) }.map(|_| ());
    assert_eq!(code(go(&f)), Some(CUresult::CUDA_ERROR_INVALID_VALUE), "more than 48 KiB has to be asked for");
    f.set_attribute(sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 65536).unwrap();
    go(&f).unwrap();
    assert_eq!(s.stream.clone_dtoh(&out).unwrap(), [5]);
    let too_much =
        f.set_attribute(sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 300 << 10);
    assert_eq!(code(too_much), Some(CUresult::CUDA_ERROR_INVALID_VALUE));
}

fn clocks_go_on() {
    let mut s = setup().unwrap();
    let module = s.ctx.load_module(Ptx::from_src(PTX)).unwrap();
    let f = module.load_function("stamp").unwrap();
    let mut out = s.stream.alloc_zeros::<u64>(2).unwrap();
    let mut last = [0; 2];
    let cfg = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
    for i in 0..4 {
        // SAFETY: the argument is the kernel's.
        unsafe { s.stream.launch_builder(&f).arg(&mut out).launch(cfg) }.unwrap();
        let now = s.stream.clone_dtoh(&out).unwrap();
        assert!(now[0] > last[0] && now[1] > last[1]);
        if i > 0 {
            assert_eq!(now[0] - last[0], now[1] - last[1], "one cycle a nanosecond");
        }
        last = [now[0], now[1]];
        s.launch(N).unwrap();
    }
}

fn graph_by_capture() {
    let mut s = setup().unwrap();
    s.stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).unwrap();
    s.launch(N).unwrap();
    let g = s
        .stream
        .end_capture(sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH)
        .unwrap()
        .expect("a graph");
    assert_eq!(s.stream.clone_dtoh(&s.c).unwrap()[3], 0.0, "a captured launch does not run");
    g.upload().unwrap();
    g.launch().unwrap();
    assert_eq!(s.stream.clone_dtoh(&s.c).unwrap()[3], 6.0);
    s.stream.memset_zeros(&mut s.c).unwrap();
    g.launch().unwrap();
    assert_eq!(s.stream.clone_dtoh(&s.c).unwrap()[3], 6.0);
}

fn mapped_host_memory() {
    let s = setup().unwrap();
    let mut host = std::ptr::null_mut();
    let mut dev = 0;
    // SAFETY: the results are written to variables of the right types; the memory is used before it is freed.
    unsafe {
        assert_eq!(sys::cuMemHostAlloc(&mut host, 4096, 3), CUresult::CUDA_SUCCESS);
        assert_eq!(sys::cuMemHostGetDevicePointer_v2(&mut dev, host, 0), CUresult::CUDA_SUCCESS);
        let words = std::slice::from_raw_parts_mut(host.cast::<f32>(), 1024);
        words[..32].fill(1.5);
        let cfg = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (32, 1, 1), shared_mem_bytes: 0 };
        let out = dev + 2048;
        s.stream.launch_builder(&s.add).arg(&dev).arg(&dev).arg(&out).arg(&32u32).launch(cfg).unwrap();
        s.stream.synchronize().unwrap();
        assert_eq!(words[512 + 31], 3.0);
        assert_eq!(sys::cuMemFreeHost(host), CUresult::CUDA_SUCCESS);
        assert_eq!(sys::cuCtxResetPersistingL2Cache(), CUresult::CUDA_SUCCESS);
    }
}

fn tensor_maps() {
    let s = setup().unwrap();
    let module = s.ctx.load_module(Ptx::from_src(include_str!("data/hopper.ptx"))).unwrap();
    let f = module.load_function("tile_tma").unwrap();
    let one = half::f16::from_f32(1.0);
    let a = s.stream.clone_htod(&vec![one; 64 * 64]).unwrap();
    let c = s.stream.alloc_zeros::<half::f16>(64 * 64).unwrap();
    let map = |x: &CudaSlice<half::f16>, swizzle| {
        let (p, _keep) = cudarc::driver::DevicePtr::device_ptr(x, &s.stream);
        let mut m = sys::CUtensorMap { opaque: [0; 16] };
        let (dims, strides, boxes, steps) = ([64u64, 64], [128u64], [64u32, 64], [1u32, 1]);
        // SAFETY: the arrays have as many elements as the rank says.
        let r = unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut m,
                sys::CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                2,
                p as *mut std::ffi::c_void,
                dims.as_ptr(),
                strides.as_ptr(),
                boxes.as_ptr(),
                steps.as_ptr(),
                sys::CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                sys::CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_NONE,
                sys::CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        };
        assert_eq!(r, CUresult::CUDA_SUCCESS);
        m
    };
    let wide = sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B;
    let none = sys::CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE;
    let (ma, mb, mc) = (map(&a, wide), map(&a, wide), map(&c, none));
    let mut k = 64u32;
    let mut args = [
        &ma as *const _ as *mut std::ffi::c_void,
        &mb as *const _ as *mut _,
        &mc as *const _ as *mut _,
        (&raw mut k).cast(),
    ];
    f.set_attribute(sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 32768).unwrap();
    let module_f = {
        let mut m = std::ptr::null_mut();
        let mut g = std::ptr::null_mut();
        let ptx = std::ffi::CString::new(include_str!("data/hopper.ptx")).unwrap();
        // SAFETY: the text ends with a zero and the names are right.
        unsafe {
            assert_eq!(sys::cuModuleLoadData(&mut m, ptx.as_ptr().cast()), CUresult::CUDA_SUCCESS);
            assert_eq!(sys::cuModuleGetFunction(&mut g, m, c"tile_tma".as_ptr()), CUresult::CUDA_SUCCESS);
        }
        g
    };
    // SAFETY: the arguments are the kernel's four.
    unsafe {
        let r = sys::cuLaunchKernel(
            module_f,
            1,
            1,
            1,
            128,
            1,
            1,
            32768,
            s.stream.cu_stream(),
            args.as_mut_ptr(),
            std::ptr::null_mut(),
        );
        assert_eq!(r, CUresult::CUDA_SUCCESS);
    }
    let out = s.stream.clone_dtoh(&c).unwrap();
    s.stream.synchronize().unwrap();
    assert!(out.iter().all(|x| x.to_f32() == 64.0));
}

fn binaries_are_refused() {
    let s = setup().unwrap();
    for head in [*b"\x7fELF", [0x50, 0xed, 0x55, 0xba]] {
        let mut image = head.to_vec();
        image.extend([0; 64]);
        assert_eq!(code(s.ctx.load_module(Ptx::from_binary(image))), Some(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU));
    }
    assert_eq!(code(s.ctx.load_module(Ptx::from_src("no ptx at all"))), Some(CUresult::CUDA_ERROR_INVALID_IMAGE));
    let unknown = PTX.replace("add.f32 %f3", "add.f32.wrong %f3");
    assert_eq!(code(s.ctx.load_module(Ptx::from_src(unknown))), Some(CUresult::CUDA_ERROR_INVALID_PTX));
    let newer = PTX.replace("sm_80", "sm_100");
    assert_eq!(code(s.ctx.load_module(Ptx::from_src(newer))), Some(CUresult::CUDA_ERROR_INVALID_PTX));
    let module = s.ctx.load_module(Ptx::from_src(PTX)).unwrap();
    assert_eq!(code(module.load_function("no_such")), Some(CUresult::CUDA_ERROR_NOT_FOUND));
}

fn out_of_bounds_is_sticky() {
    let mut s = setup().unwrap();
    s.launch(N + 200).unwrap();
    let want = Some(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS);
    assert_eq!(code(s.stream.synchronize()), want);
    assert_eq!(code(s.stream.alloc_zeros::<f32>(4)), want);
    assert_eq!(code(s.ctx.synchronize()), want);
}

fn misaligned_is_sticky() {
    let mut s = setup().unwrap();
    let cfg = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (32, 1, 1), shared_mem_bytes: 0 };
    let (a, _keep) = cudarc::driver::DevicePtr::device_ptr(&s.a, &s.stream);
    let odd = a + 2;
    // SAFETY: the address is wrong on purpose.
    unsafe { s.stream.launch_builder(&s.add).arg(&odd).arg(&s.b).arg(&mut s.c).arg(&32u32).launch(cfg) }.unwrap();
    assert_eq!(code(s.stream.synchronize()), Some(CUresult::CUDA_ERROR_MISALIGNED_ADDRESS));
}

fn fault_oom() {
    assert_eq!(code(setup()), Some(CUresult::CUDA_ERROR_OUT_OF_MEMORY));
}
fn fault_illegal_address() {
    let mut s = setup().unwrap();
    s.launch(N).unwrap();
    s.stream.synchronize().unwrap();
    s.launch(N).unwrap();
    assert_eq!(code(s.stream.synchronize()), Some(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
    assert_eq!(code(s.launch(N)), Some(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS));
}
fn fault_hang() {
    let mut s = setup().unwrap();
    s.launch(N).unwrap();
    let e = s.stream.record_event(None).unwrap();
    assert!(!e.is_complete());
    // SAFETY: the handle is the stream's.
    let q = unsafe { sys::cuStreamQuery(s.stream.cu_stream()) };
    assert_eq!(q, CUresult::CUDA_ERROR_NOT_READY);
    let start = std::time::Instant::now();
    assert_eq!(code(s.stream.synchronize()), Some(CUresult::CUDA_ERROR_LAUNCH_TIMEOUT));
    assert!(start.elapsed().as_millis() < 5000);
}
fn fault_lost() {
    let mut s = setup().unwrap();
    s.launch(N).unwrap();
    assert_eq!(code(s.stream.synchronize()), Some(CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE));
    assert_eq!(code(s.ctx.name()), Some(CUresult::CUDA_ERROR_DEVICE_UNAVAILABLE));
}
fn fault_no_device() {
    load();
    assert_eq!(code(CudaContext::new(0)), Some(CUresult::CUDA_ERROR_NO_DEVICE));
}
fn fault_stub() {
    load();
    assert_eq!(code(CudaContext::new(0)), Some(CUresult::CUDA_ERROR_STUB_LIBRARY));
}
fn driver_version() {
    load();
    let mut v = 0;
    // SAFETY: the pointer leads to an int.
    assert_eq!(unsafe { sys::cuDriverGetVersion(&mut v) }, CUresult::CUDA_SUCCESS);
    let want: i32 = std::env::var("GPU_EMULATOR_DRIVER_VERSION").map_or(13000, |v| v.parse().unwrap());
    assert_eq!(v, want);
}
fn counters_are_exported() {
    let mut s = setup().unwrap();
    s.launch(N).unwrap();
    s.stream.synchronize().unwrap();
    // SAFETY: the library is open already; the functions have these types.
    let text = unsafe {
        let lib = Library::open(Some(library()), RTLD_NOW).unwrap();
        let launches = lib.get::<unsafe extern "C" fn() -> u64>(b"gpuemu_launches").unwrap();
        assert_eq!(launches(), 1);
        let json =
            lib.get::<unsafe extern "C" fn(*mut std::ffi::c_char, usize) -> usize>(b"gpuemu_counters_json").unwrap();
        let n = json(std::ptr::null_mut(), 0);
        let mut buf = vec![0u8; n + 1];
        assert_eq!(json(buf.as_mut_ptr().cast(), buf.len()), n);
        String::from_utf8(buf[..n].to_vec()).unwrap()
    };
    // 1000 floats: 32 warps, the last with eight lanes: 31 * 4 + 1 sectors each of two loads.
    assert!(
        text.contains("\"global_load\":{\"requests\":64,\"sectors\":250,\"bytes\":8000,\"width\":[0,0,2000,0,0]}"),
        "{text}"
    );
}
fn jitter() {
    let mut s = setup().unwrap();
    let mut times = Vec::new();
    for _ in 0..8 {
        let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let e0 = s.stream.record_event(flags).unwrap();
        s.launch(N).unwrap();
        let e1 = s.stream.record_event(flags).unwrap();
        times.push(e0.elapsed_ms(&e1).unwrap().to_bits());
    }
    times.sort_unstable();
    times.dedup();
    let want = if std::env::var("GPU_EMULATOR_FAULT").is_ok() { 2..9 } else { 1..2 };
    assert!(want.contains(&times.len()), "{times:?}");
}

/// Launches made slow take their time on the host's clock and on the device's.
fn slow() {
    let mut s = setup().unwrap();
    let flags = Some(sys::CUevent_flags::CU_EVENT_DEFAULT);
    let start = std::time::Instant::now();
    let e0 = s.stream.record_event(flags).unwrap();
    s.launch(N).unwrap();
    s.launch(N).unwrap();
    let e1 = s.stream.record_event(flags).unwrap();
    // SAFETY: the event is alive.
    let query = unsafe { sys::cuEventQuery(e1.cu_event()) };
    assert_eq!(query, sys::CUresult::CUDA_ERROR_NOT_READY);
    e1.synchronize().unwrap();
    assert!(start.elapsed() >= std::time::Duration::from_millis(160), "{:?}", start.elapsed());
    // SAFETY: as above.
    assert_eq!(unsafe { sys::cuEventQuery(e1.cu_event()) }, sys::CUresult::CUDA_SUCCESS);
    let ms = e0.elapsed_ms(&e1).unwrap();
    assert!((160.0..161.0).contains(&ms), "{ms}");
}

/// What a kernel prints comes out on the program's standard output.
fn prints() {
    let s = setup().unwrap();
    let ptx = "
.version 8.0
.target sm_80
.address_size 64
.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);
.global .align 1 .b8 text[9] = {116, 105, 100, 32, 37, 48, 52, 100, 10};
.visible .entry k()
{
    .local .align 8 .b8 depot[8];
    .reg .b32 %r<3>; .reg .b64 %rd<4>;
    mov.u32 %r1, %tid.x; st.local.u32 [depot], %r1;
    mov.u64 %rd1, depot; cvta.local.u64 %rd2, %rd1; mov.u64 %rd1, text; cvta.global.u64 %rd3, %rd1;
    { .param .b64 f; st.param.b64 [f], %rd3; .param .b64 a; st.param.b64 [a], %rd2; .param .b32 n;
      call.uni (n), vprintf, (f, a); }
    ret;
}";
    let f = s.ctx.load_module(cudarc::nvrtc::Ptx::from_src(ptx)).unwrap().load_function("k").unwrap();
    let shape = cudarc::driver::LaunchConfig { grid_dim: (1, 1, 1), block_dim: (2, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the kernel takes no arguments.
    unsafe { s.stream.launch_builder(&f).launch(shape) }.unwrap();
    s.stream.synchronize().unwrap();
}

const CLUSTERS: &str = "
.version 8.0
.target sm_90
.address_size 64
.visible .entry rank(.param .u64 p)
{
    .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .b64 %rd<9>; .reg .pred %p<2>;
    ld.param.u64 %rd1, [p];
    mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %tid.x; setp.ne.u32 %p1, %r3, 0;
    mul.wide.u32 %rd2, %r2, 4; add.s64 %rd3, %rd1, %rd2;
    @!%p1 st.global.u32 [%rd3], %r1;
    // Ones in A and B in the first two columns, onto 2^24: how the sum rounds shows the mode.
    and.b32 %r4, %r3, 3; setp.eq.u32 %p1, %r4, 0; selp.b32 %r5, 0x3c003c00, 0, %p1; mov.f32 %f1, 0f4B800000; mov.u32 %r6, 0;
    mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f2, %f3, %f4, %f5}, {%r5, %r6, %r6, %r6}, {%r5, %r6}, {%f1, %f1, %f1, %f1};
    setp.ne.u32 %p1, %r3, 0; @%p1 bra DONE;
    st.global.f32 [%rd3+64], %f2;
DONE:
    ret;
}";

fn clusters_and_numerics() {
    let s = setup().unwrap();
    // The safe interface launches no clusters.
    let image = std::ffi::CString::new(CLUSTERS).unwrap();
    let (mut m, mut f) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: both results have a place, and the text ends with a zero.
    unsafe {
        assert_eq!(sys::cuModuleLoadData(&mut m, image.as_ptr().cast()), CUresult::CUDA_SUCCESS);
        assert_eq!(sys::cuModuleGetFunction(&mut f, m, c"rank".as_ptr()), CUresult::CUDA_SUCCESS);
    }
    let out = s.stream.alloc_zeros::<u32>(32).unwrap();
    let (mut p, _keep) = cudarc::driver::DevicePtr::device_ptr(&out, &s.stream);
    let launch = |grid: u32, cluster: u32, p: &mut u64| {
        let mut args = [(p as *mut u64).cast::<std::ffi::c_void>()];
        // SAFETY: all zeros is a value of every field; the arrays outlive the call.
        unsafe {
            let mut a: sys::CUlaunchAttribute = std::mem::zeroed();
            a.id = sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            a.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: cluster, y: 1, z: 1 };
            let config = sys::CUlaunchConfig {
                gridDimX: grid,
                gridDimY: 1,
                gridDimZ: 1,
                blockDimX: 32,
                blockDimY: 1,
                blockDimZ: 1,
                sharedMemBytes: 0,
                hStream: s.stream.cu_stream(),
                attrs: &mut a,
                numAttrs: 1,
            };
            sys::cuLaunchKernelEx(&config, f, args.as_mut_ptr(), std::ptr::null_mut())
        }
    };
    assert_eq!(launch(16, 16, &mut p), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_eq!(launch(7, 2, &mut p), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    // How many clusters there is room for, and how large they can be: more than eight blocks only where the function may have them.
    let asked = |cluster: u32, shared: u32| {
        // SAFETY: all zeros is a value of every field; the attribute and both results outlive the calls.
        unsafe {
            let mut a: sys::CUlaunchAttribute = std::mem::zeroed();
            a.id = sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
            a.value.clusterDim = sys::CUlaunchAttributeValue_union__bindgen_ty_1 { x: cluster, y: 1, z: 1 };
            let mut c: sys::CUlaunchConfig = std::mem::zeroed();
            (c.gridDimX, c.gridDimY, c.gridDimZ) = (cluster, 1, 1);
            (c.blockDimX, c.blockDimY, c.blockDimZ) = (32, 1, 1);
            (c.sharedMemBytes, c.attrs, c.numAttrs) = (shared, &mut a, 1);
            let (mut clusters, mut blocks) = (-1, -1);
            let r = sys::cuOccupancyMaxActiveClusters(&mut clusters, f, &c);
            assert_eq!(sys::cuOccupancyMaxPotentialClusterSize(&mut blocks, f, &c), CUresult::CUDA_SUCCESS);
            (r, clusters, blocks)
        }
    };
    let ok = CUresult::CUDA_SUCCESS;
    // Four multiprocessors, with 32 such blocks each; one with 200 KiB of shared memory.
    assert_eq!(asked(2, 0), (ok, 64, 8));
    assert_eq!(asked(2, 200 << 10), (ok, 2, 8));
    assert_eq!(asked(2, 300 << 10), (ok, 0, 0));
    assert_eq!(asked(16, 0).0, CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    let wide = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED;
    // SAFETY: the function is a live one.
    assert_eq!(unsafe { sys::cuFuncSetAttribute(f, wide, 1) }, ok);
    assert_eq!(asked(16, 0), (ok, 8, 16));
    assert_eq!(launch(16, 16, &mut p), ok);
    // SAFETY: as above.
    assert_eq!(unsafe { sys::cuFuncSetAttribute(f, wide, 0) }, ok);
    assert_eq!(launch(16, 16, &mut p), CUresult::CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_eq!(launch(8, 4, &mut p), CUresult::CUDA_SUCCESS);
    let v = s.stream.clone_dtoh(&out).unwrap();
    assert_eq!(v[..8], [0, 1, 2, 3, 0, 1, 2, 3]);
    let exact = std::env::var("GPU_EMULATOR_NUMERICS").is_ok_and(|m| m != "sequential");
    assert_eq!(f32::from_bits(v[16]), if exact { 16777218.0 } else { 16777216.0 });
}

#[test]
fn cudarc_end_to_end() {
    passes("end_to_end", &[]);
    passes("end_to_end", &[("GPU_EMULATOR_CC", "8.0")]);
    passes("shared_memory_limit", &[]);
    passes("graph_by_capture", &[]);
    passes("clocks_go_on", &[]);
    passes("mapped_host_memory", &[]);
    passes("tensor_maps", &[]);
    for mode in ["", "sequential", "exact", "truncating"] {
        let env = [("GPU_EMULATOR_NUMERICS", mode)];
        passes("clusters_and_numerics", if mode.is_empty() { &[] } else { &env });
    }
    passes("binaries_are_refused", &[]);
    passes("counters_are_exported", &[]);
}
#[test]
fn cudarc_findings() {
    let text = passes("out_of_bounds_is_sticky", &[]);
    assert!(text.contains("kernels/add.cu:42: out of bounds"), "{text}");
    let text = passes("misaligned_is_sticky", &[]);
    assert!(text.contains("kernels/add.cu:42: misaligned"), "{text}");
}
#[test]
fn cudarc_faults() {
    passes("fault_oom", &[("GPU_EMULATOR_FAULT", "oom:2")]);
    passes("fault_illegal_address", &[("GPU_EMULATOR_FAULT", "illegal-address:2")]);
    passes("fault_hang", &[("GPU_EMULATOR_FAULT", "hang:1:100")]);
    passes("fault_lost", &[("GPU_EMULATOR_FAULT", "lost:1")]);
    passes("fault_no_device", &[("GPU_EMULATOR_FAULT", "no-device")]);
    passes("fault_stub", &[("GPU_EMULATOR_FAULT", "stub")]);
    passes("driver_version", &[]);
    passes("driver_version", &[("GPU_EMULATOR_DRIVER_VERSION", "11040")]);
    passes("jitter", &[]);
    passes("jitter", &[("GPU_EMULATOR_FAULT", "jitter:42")]);
    passes("slow", &[("GPU_EMULATOR_FAULT", "slow:80")]);
    let printed = child("prints", &[]);
    let text = String::from_utf8_lossy(&printed.stdout);
    assert!(printed.status.success() && text.contains("tid 0000\ntid 0001\n"), "{text}");
}
