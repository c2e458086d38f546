//! A static library with a panic handler and an allocator of its own. If a dependency used std there would be two panic
//! handlers, which the compiler refuses (E0152). Building it is therefore the proof, on a machine that has only one
//! target.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};

use gossip_core::{Config, Input, Instant, Node, NodeId};

struct Nothing;

// SAFETY: never gives memory out. This library is built, not run.
unsafe impl GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Nothing = Nothing;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Instantiates everything generic in the core, since generic code is compiled only when it is instantiated.
// SAFETY: the name is nobody else's.
#[unsafe(no_mangle)]
pub extern "C" fn gossip_core_without_std() -> usize {
    let Ok(mut node) = Node::new(NodeId::new(1), [0_u8; 6], Config::default(), 1) else { return 0 };
    let now = Instant::from_secs(1);
    node.join(now, [[1; 6]]);
    let written = node.put(now, "key", b"value").is_ok() && node.broadcast(now, b"payload").is_ok();
    let mut buffer = [0; 1_200];
    let mut sent = 0;
    while let Some(transmit) = node.poll_transmit(&mut buffer) {
        sent += transmit.len;
    }
    let heard = node.handle(now, Input::Datagram { from: &[1; 6], payload: &buffer }).is_ok();
    let due = node.poll_timeout().is_some() && node.poll_event().is_some();
    sent + usize::from(written) + usize::from(heard) + usize::from(due)
}
