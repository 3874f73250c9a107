//! Device memory: allocations with gaps between them, and for every byte whether it was ever written.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Alignment of an allocation's first byte, as the driver gives it.
const ALIGN: u64 = 256;
/// Bytes that belong to nobody between two allocations.
const GAP: u64 = 1 << 16;
const FIRST: u64 = 0x7000_0000_0000;

const CHUNK: usize = 1 << 14;

/// A table of words that takes up memory only where it is touched.
#[derive(Debug)]
pub(crate) struct Sparse {
    chunks: Vec<OnceLock<Box<[AtomicU32]>>>,
    /// Words of a chunk, as a power of two.
    shift: u32,
    len: usize,
}

impl Sparse {
    pub fn new(words: usize) -> Self {
        Self::with_chunks(words, CHUNK)
    }
    /// All words in one piece, which has an address.
    fn whole(words: usize) -> Self {
        Self::with_chunks(words, words.max(1).next_power_of_two())
    }
    fn with_chunks(words: usize, chunk: usize) -> Self {
        Self {
            chunks: (0..words.div_ceil(chunk)).map(|_| OnceLock::new()).collect(),
            shift: chunk.trailing_zeros(),
            len: words,
        }
    }
    #[inline]
    pub fn at(&self, i: usize) -> &AtomicU32 {
        let c = i >> self.shift;
        let chunk = 1usize << self.shift;
        let n = chunk.min(self.len - c * chunk);
        let words = self.chunks[c].get_or_init(|| (0..n).map(|_| AtomicU32::new(0)).collect());
        &words[i & (chunk - 1)]
    }
    fn ones(&self) -> u64 {
        let of = |c: &[AtomicU32]| c.iter().map(|w| u64::from(w.load(Relaxed).count_ones())).sum::<u64>();
        self.chunks.iter().filter_map(OnceLock::get).map(|c| of(c)).sum()
    }
}

/// One allocation. Its words can be shared by the threads that run blocks.
#[derive(Debug)]
pub struct Alloc {
    pub(crate) base: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
    pub(crate) read_only: bool,
    data: Sparse,
    /// The word of `data` where the first byte lies.
    skip: usize,
    /// What words are combined with: memory of a device is kept inverted, so that pages never touched read as all ones, which is
    /// no number, without taking up room.
    flip: u32,
    valid: Sparse,
}

impl Alloc {
    fn new(base: u64, size: u64, name: String) -> Self {
        Self {
            base,
            size,
            name,
            read_only: false,
            data: Sparse::new(size.div_ceil(16) as usize * 4),
            skip: 0,
            flip: u32::MAX,
            valid: Sparse::new(size.div_ceil(32) as usize),
        }
    }
    #[inline]
    fn word(&self, i: usize) -> u32 {
        self.data.at(i).load(Relaxed) ^ self.flip
    }
    #[inline]
    fn set_word(&self, i: usize, v: u32) {
        self.data.at(i).store(v ^ self.flip, Relaxed);
    }
    pub(crate) fn holds(&self, addr: u64) -> bool {
        addr >= self.base && addr - self.base < self.size
    }
    /// Up to 16 bytes at an offset that is a multiple of their number.
    #[inline]
    pub(crate) fn read(&self, off: u64, bytes: u32) -> [u32; 4] {
        let i = self.skip + (off / 4) as usize;
        let w = |k: usize| self.word(i + k);
        match bytes {
            1 => [(w(0) >> (8 * (off & 3))) & 0xff, 0, 0, 0],
            2 => [(w(0) >> (8 * (off & 2))) & 0xffff, 0, 0, 0],
            4 => [w(0), 0, 0, 0],
            8 => [w(0), w(1), 0, 0],
            _ => [w(0), w(1), w(2), w(3)],
        }
    }
    #[inline]
    pub(crate) fn write(&self, off: u64, bytes: u32, v: &[u32; 4]) {
        let i = self.skip + (off / 4) as usize;
        if bytes < 4 {
            let sh = 8 * (off as u32 & 3);
            let m = if bytes == 1 { 0xff } else { 0xffff };
            let new = (v[0] ^ self.flip) & m;
            let _ = self.data.at(i).fetch_update(Relaxed, Relaxed, |x| Some((x & !(m << sh)) | (new << sh)));
        } else {
            for (k, x) in v.iter().enumerate().take(bytes as usize / 4) {
                self.set_word(i + k, *x);
            }
        }
        self.set_valid(off, u64::from(bytes));
    }
    pub(crate) fn set_valid(&self, off: u64, bytes: u64) {
        let (mut o, end) = (off, off + bytes);
        while o < end {
            let n = (32 - o % 32).min(end - o);
            let m = (((1u64 << n) - 1) << (o % 32)) as u32;
            let w = self.valid.at((o / 32) as usize);
            if w.load(Relaxed) & m != m {
                w.fetch_or(m, Relaxed);
            }
            o += n;
        }
    }
    /// Makes bytes ones that nothing has written.
    pub(crate) fn set_invalid(&self, off: u64, bytes: u64) {
        for k in off..off + bytes {
            self.valid.at((k / 32) as usize).fetch_and(!(1 << (k % 32)), Relaxed);
        }
    }
    #[inline]
    pub(crate) fn is_valid(&self, off: u64, bytes: u32) -> bool {
        let m = (((1u64 << bytes) - 1) << (off % 32)) as u32;
        self.valid.at((off / 32) as usize).load(Relaxed) & m == m
    }
    /// Whether any number of bytes was written.
    pub(crate) fn all_valid(&self, off: u64, bytes: u64) -> bool {
        let (mut o, end) = (off, off + bytes);
        while o < end {
            let n = (32 - o % 32).min(end - o);
            let m = (((1u64 << n) - 1) << (o % 32)) as u32;
            if self.valid.at((o / 32) as usize).load(Relaxed) & m != m {
                return false;
            }
            o += n;
        }
        true
    }
    /// Any bytes, at any offset.
    pub(crate) fn read_bytes(&self, off: u64, out: &mut [u8]) {
        let mut k = 0;
        while k < out.len() {
            let o = off + k as u64;
            if o.is_multiple_of(16) && out.len() - k >= 16 {
                for (to, w) in out[k..k + 16].chunks_exact_mut(4).zip(self.read(o, 16)) {
                    to.copy_from_slice(&w.to_le_bytes());
                }
                k += 16;
                continue;
            }
            let w = self.word(self.skip + (o / 4) as usize).to_le_bytes();
            let from = (o & 3) as usize;
            let n = (4 - from).min(out.len() - k);
            out[k..k + n].copy_from_slice(&w[from..from + n]);
            k += n;
        }
    }
    pub(crate) fn write_bytes(&self, off: u64, src: &[u8]) {
        let mut k = 0;
        while k < src.len() {
            let o = off + k as u64;
            let i = self.skip + (o / 4) as usize;
            let from = (o & 3) as usize;
            let n = (4 - from).min(src.len() - k);
            let mut w = if n == 4 { [0; 4] } else { self.word(i).to_le_bytes() };
            w[from..from + n].copy_from_slice(&src[k..k + n]);
            self.set_word(i, u32::from_le_bytes(w));
            k += n;
        }
        self.set_valid(off, src.len() as u64);
    }
    /// Bytes of the allocation never written.
    pub(crate) fn unwritten(&self) -> u64 {
        self.size - self.valid.ones().min(self.size)
    }
}

/// Why a memory call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemError {
    /// No room left.
    OutOfMemory,
    /// The address is not inside one allocation for the whole length.
    BadAddress,
}

impl std::fmt::Display for MemError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "out of device memory",
            Self::BadAddress => "not a range of device memory",
        })
    }
}
impl std::error::Error for MemError {}

/// The memory of a device.
#[derive(Debug)]
pub struct Memory {
    pub(crate) allocs: Vec<Arc<Alloc>>,
    next: u64,
    freed: VecDeque<(u64, u64, String)>,
    total: u64,
    used: u64,
    count: u64,
}

impl Memory {
    /// Memory of a given size in bytes.
    pub fn new(total: u64) -> Self {
        Self { allocs: Vec::new(), next: FIRST, freed: VecDeque::new(), total, used: 0, count: 0 }
    }
    /// Size and free part, in bytes.
    pub fn info(&self) -> (u64, u64) {
        (self.total, self.total - self.used)
    }
    fn insert(&mut self, a: Alloc) {
        self.used += a.size;
        self.insert_only(a);
    }
    fn insert_only(&mut self, a: Alloc) {
        let i = self.allocs.partition_point(|x| x.base < a.base);
        self.allocs.insert(i, Arc::new(a));
    }
    /// Allocates; the name appears in findings.
    pub fn alloc(&mut self, size: u64, name: &str) -> Result<u64, MemError> {
        let size = size.max(1);
        if size > self.total - self.used {
            return Err(MemError::OutOfMemory);
        }
        let base = self.next;
        self.next += size.div_ceil(ALIGN) * ALIGN + GAP;
        self.count += 1;
        let name = if name.is_empty() { format!("allocation {}", self.count) } else { name.to_owned() };
        self.insert(Alloc::new(base, size, name));
        Ok(base)
    }
    pub(crate) fn place(&mut self, base: u64, init: &[u8], size: u64, name: &str, read_only: bool) {
        if self.allocs.iter().any(|a| a.base == base) {
            return;
        }
        let mut a = Alloc::new(base, size.max(1), name.to_owned());
        a.read_only = read_only;
        a.write_bytes(0, &vec![0; size as usize]);
        a.write_bytes(0, init);
        self.insert(a);
    }
    /// Memory that the host shares: its address is the same on both sides. It counts as written from the start.
    pub(crate) fn alloc_host(&mut self, size: u64) -> u64 {
        const PAGE: usize = 4096;
        self.count += 1;
        let mut a = Alloc::new(0, size + PAGE as u64, format!("host allocation {}", self.count));
        // The host sees the words as they are.
        a.flip = 0;
        a.data = Sparse::whole(((size + PAGE as u64).div_ceil(16) * 4) as usize);
        let at = std::ptr::from_ref(a.data.at(0)) as usize;
        let base = at.next_multiple_of(PAGE);
        a.skip = (base - at) / 4;
        a.base = base as u64;
        a.size = size;
        a.set_valid(0, size);
        self.insert_only(a);
        base as u64
    }
    pub(crate) fn free_host(&mut self, base: u64) -> Result<(), MemError> {
        let i = self.allocs.binary_search_by_key(&base, |a| a.base).map_err(|_| MemError::BadAddress)?;
        self.allocs.remove(i);
        Ok(())
    }
    pub(crate) fn remove_range(&mut self, from: u64, to: u64) {
        let gone: u64 = self.allocs.iter().filter(|a| a.base >= from && a.base < to).map(|a| a.size).sum();
        self.allocs.retain(|a| !(a.base >= from && a.base < to));
        self.used -= gone;
    }
    /// Frees an allocation by its first address.
    pub fn free(&mut self, base: u64) -> Result<(), MemError> {
        let i = self.allocs.binary_search_by_key(&base, |a| a.base).map_err(|_| MemError::BadAddress)?;
        let a = self.allocs.remove(i);
        self.used -= a.size;
        self.freed.push_back((a.base, a.size, a.name.clone()));
        if self.freed.len() > 256 {
            self.freed.pop_front();
        }
        Ok(())
    }
    #[inline]
    pub(crate) fn find(&self, addr: u64, hint: &mut usize) -> Option<&Alloc> {
        if let Some(a) = self.allocs.get(*hint)
            && a.holds(addr)
        {
            return Some(a);
        }
        let i = self.allocs.partition_point(|a| a.base <= addr);
        let a = self.allocs.get(i.checked_sub(1)?)?;
        if a.holds(addr) {
            *hint = i - 1;
            Some(a)
        } else {
            None
        }
    }
    fn range(&self, addr: u64, len: u64) -> Result<&Alloc, MemError> {
        let a = self.find(addr, &mut 0).ok_or(MemError::BadAddress)?;
        if addr - a.base + len > a.size { Err(MemError::BadAddress) } else { Ok(a) }
    }
    /// The allocation that an address lies in: first address and size.
    pub fn allocation(&self, addr: u64) -> Option<(u64, u64)> {
        self.find(addr, &mut 0).map(|a| (a.base, a.size))
    }
    /// Copies to the device.
    pub fn write(&self, addr: u64, src: &[u8]) -> Result<(), MemError> {
        if src.is_empty() {
            return Ok(());
        }
        let a = self.range(addr, src.len() as u64)?;
        a.write_bytes(addr - a.base, src);
        Ok(())
    }
    /// Copies from the device.
    pub fn read(&self, addr: u64, out: &mut [u8]) -> Result<(), MemError> {
        if out.is_empty() {
            return Ok(());
        }
        let a = self.range(addr, out.len() as u64)?;
        a.read_bytes(addr - a.base, out);
        Ok(())
    }
    /// Copies within the device; bytes that were never written stay so.
    pub fn copy(&self, dst: u64, src: u64, len: u64) -> Result<(), MemError> {
        if len == 0 {
            return Ok(());
        }
        let (s, d) = (self.range(src, len)?, self.range(dst, len)?);
        let mut buf = vec![0; len as usize];
        s.read_bytes(src - s.base, &mut buf);
        let all = (0..len).all(|k| s.is_valid(src - s.base + k, 1));
        if all {
            d.write_bytes(dst - d.base, &buf);
        } else {
            for k in 0..len {
                if s.is_valid(src - s.base + k, 1) {
                    d.write_bytes(dst - d.base + k, &buf[k as usize..=k as usize]);
                }
            }
        }
        Ok(())
    }
    /// What lies at or near an address that is not in an allocation.
    pub(crate) fn describe(&self, addr: u64) -> String {
        if let Some(a) = self.find(addr, &mut 0) {
            return format!("{} bytes into {} of {} bytes", addr - a.base, a.name, a.size);
        }
        if let Some((b, s, n)) = self.freed.iter().rev().find(|f| addr >= f.0 && addr < f.0 + f.1) {
            return format!("{} bytes into {n} of {s} bytes, which was freed", addr - b);
        }
        let i = self.allocs.partition_point(|a| a.base <= addr);
        let before = i.checked_sub(1).and_then(|i| self.allocs.get(i));
        let after = self.allocs.get(i);
        let past = before.map(|a| addr - (a.base + a.size));
        let ahead = after.map(|a| a.base - addr);
        match (before, past, after, ahead) {
            (Some(a), Some(p), _, h) if h.is_none_or(|h| p <= h) && p < 1 << 32 => {
                format!("{} bytes past the end of {} of {} bytes", p + 1, a.name, a.size)
            }
            (_, _, Some(a), Some(h)) if h < 1 << 32 => {
                format!("{h} bytes before {} of {} bytes", a.name, a.size)
            }
            _ => "near no allocation".to_owned(),
        }
    }
    /// The number of bytes of an allocation that nothing has ever written.
    pub fn unwritten(&self, base: u64) -> Option<u64> {
        self.find(base, &mut 0).map(Alloc::unwritten)
    }
    /// Declares the bytes of a range unwritten, so that reading them is a finding.
    pub fn forget(&self, addr: u64, len: u64) -> Result<(), MemError> {
        if len == 0 {
            return Ok(());
        }
        let a = self.range(addr, len)?;
        a.set_invalid(addr - a.base, len);
        Ok(())
    }
}
