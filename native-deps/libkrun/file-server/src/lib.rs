//! The virtio-fs device of libkrun, whole and with our patches, whose guest is the program that loads this: the memory and
//! the rings in it are that program's, and so is every request.

use std::ffi::{c_char, c_int, CStr};
use std::os::fd::AsRawFd;
use std::sync::atomic::AtomicI32;
use std::sync::{Arc, Mutex};

use krun_devices::legacy::{IrqChipDevice, IrqChipT};
use krun_devices::virtio::fs::passthrough::PermissionSemantics;
use krun_devices::virtio::{DeviceQueue, Fs, InterruptTransport, Queue, VirtioDevice};
use krun_devices::{BusDevice, Error};
use krun_utils::eventfd::{EventFd, EFD_NONBLOCK};
use vm_memory::mmap::MmapRegionBuilder;
use vm_memory::{GuestAddress, GuestMemoryMmap, GuestRegionMmap};

/// A guest that looks at the used ring needs no interrupts.
struct NoInterrupts;

impl BusDevice for NoInterrupts {}

impl IrqChipT for NoInterrupts {
    fn get_mmio_addr(&self) -> u64 {
        0
    }

    fn get_mmio_size(&self) -> u64 {
        0
    }

    fn set_irq(&self, _line: Option<u32>, _event: Option<&EventFd>) -> Result<(), Error> {
        Ok(())
    }
}

/// Where the three parts of the request queue are, from the start of the memory.
#[repr(C)]
pub struct Rings {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
    pub entries: u16,
}

type Failure = Box<dyn std::error::Error>;

fn serve(share: &CStr, memory: *mut u8, size: usize, rings: &Rings) -> Result<c_int, Failure> {
    let builder = MmapRegionBuilder::new(size)
        .with_mmap_prot(3) // to read and write
        .with_mmap_flags(1); // shared
                             // SAFETY: the caller has mapped this much there, and never unmaps it.
    let region = unsafe { builder.with_raw_mmap_pointer(memory) }.build()?;
    let region = GuestRegionMmap::new(region, GuestAddress(0)).ok_or("no region")?;
    let memory = GuestMemoryMmap::from_regions(vec![region])?;
    let share = share.to_str()?.to_owned();
    let exit_code = Arc::new(AtomicI32::new(0));
    let semantics = PermissionSemantics::LinuxComplete;
    let mut device = Fs::new("share".into(), semantics, Some(share), exit_code, false, Vec::new())
        .map_err(|error| format!("{error:?}"))?;
    let requests = Arc::new(EventFd::new(EFD_NONBLOCK)?);
    let kick = requests.as_raw_fd();
    let mut queues = Vec::new();
    for at in 0..device.queue_config().len() {
        let mut queue = Queue::new(rings.entries);
        queue.size = rings.entries;
        queue.ready = true;
        queue.desc_table = GuestAddress(rings.descriptors);
        queue.avail_ring = GuestAddress(rings.available);
        queue.used_ring = GuestAddress(rings.used);
        // The other queue is for what may not wait, and is never used here.
        let is_for_requests = at == 1;
        let event = if is_for_requests { Arc::clone(&requests) } else { Arc::new(EventFd::new(EFD_NONBLOCK)?) };
        queues.push(DeviceQueue::new(queue, event));
    }
    let chip = Arc::new(Mutex::new(IrqChipDevice::new(Box::new(NoInterrupts))));
    let interrupts = InterruptTransport::new(chip, "file server".into()).map_err(|error| format!("{error:?}"))?;
    device.activate(memory, interrupts, queues).map_err(|error| format!("{error:?}"))?;
    // It serves for as long as the process lives.
    std::mem::forget(device);
    Ok(kick)
}

/// Serves the directory to who owns the memory. Answers an eventfd that tells of new requests, or -1.
///
/// # Safety
///
/// `share` ends with a NUL; `memory` is mapped for `size` bytes, for good; `rings` is one.
#[no_mangle]
pub unsafe extern "C" fn a3s_serve(share: *const c_char, memory: *mut u8, size: usize, rings: *const Rings) -> c_int {
    let (share, rings) = unsafe { (CStr::from_ptr(share), &*rings) };
    serve(share, memory, size, rings).unwrap_or_else(|error| {
        eprintln!("file server: {error}");
        -1
    })
}
