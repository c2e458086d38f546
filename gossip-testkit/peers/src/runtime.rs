//! An async runtime in simulated time, for protocols that were written for one: nothing happens between two inputs.
//!
//! Each process has a [`World`] of its own: tasks, timers and the time. It is current (of the thread) while the process is
//! driven, which is how `sleep` and `spawn` find it. Tasks run until none can go on. Nothing here waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use agnostic_lite::time::{
    AsyncLocalInterval, AsyncLocalIntervalExt, AsyncLocalSleep, AsyncLocalSleepExt, AsyncLocalTimeout, AsyncTimeout,
    Delay, Elapsed, Instant as _,
};
use agnostic_lite::{
    AfterHandle, AsyncAfterSpawner, AsyncBlockingSpawner, AsyncLocalSpawner, AsyncSpawner, JoinHandle, LocalJoinHandle,
    RuntimeLite, Yielder,
};
use futures::Stream;

mod lite;

pub use lite::Simulated;

thread_local! {
    static CURRENT: RefCell<Option<World>> = const { RefCell::new(None) };
    /// Time since the simulation's origin.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks and timers of one process.
#[derive(Default)]
pub struct World {
    tasks: BTreeMap<u64, Task>,
    /// Number of the next task.
    next: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
    timers: BTreeMap<(Tick, u64), Waker>,
    /// Number of the next timer.
    timer: u64,
}

impl World {
    /// Makes this world current at `now`, calls `f`, and runs its tasks until none can go on.
    pub fn enter<R>(&mut self, now: Duration, f: impl FnOnce() -> R) -> R {
        NOW.set(now);
        CURRENT.set(Some(std::mem::take(self)));
        let result = f();
        while run_one() {}
        *self = CURRENT.take().expect("it was set above");
        result
    }

    /// Time of the next timer in whole microseconds, which is what the simulation counts in.
    pub fn deadline(&self) -> Option<Duration> {
        let ((at, _), _) = self.timers.first_key_value()?;
        let nanoseconds = at.0.saturating_duration_since(base()).as_nanos();
        Some(Duration::from_micros(nanoseconds.div_ceil(1_000) as u64))
    }
}

/// Wakes the timers that are due, and polls one task. Returns false if there is nothing to do.
fn run_one() -> bool {
    let now = Tick::now();
    let (woken, task) = with(|world| {
        let mut woken = Vec::new();
        while let Some(entry) = world.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            woken.push(entry.remove());
        }
        let id = lock(&world.ready).pop_front();
        (woken, id.and_then(|id| Some((id, world.tasks.remove(&id)?))))
    })
    .unwrap_or_default();
    let waked = !woken.is_empty();
    woken.into_iter().for_each(Waker::wake);
    let Some((id, mut task)) = task else {
        return waked || with(|world| !lock(&world.ready).is_empty()).unwrap_or(false);
    };
    let ready = with(|world| world.ready.clone()).expect("a world is current while its tasks run");
    let waker: Waker = Arc::new(TaskWaker { id, ready }).into();
    if task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        with(|world| world.tasks.insert(id, task));
    }
    true
}

/// Calls `f` with the current world. None while a world is dropped: its tasks' timers and tasks go with it.
fn with<R>(f: impl FnOnce(&mut World) -> R) -> Option<R> {
    CURRENT.with(|current| current.try_borrow_mut().ok()?.as_mut().map(f))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds a task, and returns its number.
fn start(task: impl Future<Output = ()> + 'static) -> u64 {
    with(|world| {
        world.next += 1;
        world.tasks.insert(world.next, Box::pin(task));
        lock(&world.ready).push_back(world.next);
        world.next
    })
    .unwrap_or_default()
}

struct TaskWaker {
    id: u64,
    ready: Arc<Mutex<VecDeque<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = lock(&self.ready);
        if !ready.contains(&self.id) {
            ready.push_back(self.id);
        }
    }
}

/// A time of the simulation.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(std::time::Instant);

impl Tick {
    /// The time this long after the simulation's origin.
    pub fn at(since: Duration) -> Self {
        Self(base() + since)
    }
}

/// Moment of the platform's clock that stands for the simulation's origin.
fn base() -> std::time::Instant {
    static BASE: OnceLock<std::time::Instant> = OnceLock::new();
    *BASE.get_or_init(std::time::Instant::now)
}

impl agnostic_lite::time::Instant for Tick {
    fn now() -> Self {
        Self::at(NOW.get())
    }

    fn elapsed(&self) -> Duration {
        Self::now().0.saturating_duration_since(self.0)
    }

    fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }

    fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }
}

impl From<std::time::Instant> for Tick {
    fn from(instant: std::time::Instant) -> Self {
        Self(instant)
    }
}

impl From<Tick> for std::time::Instant {
    fn from(tick: Tick) -> Self {
        tick.0
    }
}

impl Add<Duration> for Tick {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub<Duration> for Tick {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for Tick {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl Sub for Tick {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.0 - earlier.0
    }
}

/// A future that ends at a time.
#[derive(Debug)]
pub struct Sleep {
    until: Tick,
    /// Its timer in the current world.
    timer: Option<(Tick, u64)>,
}

impl Sleep {
    fn until(until: Tick) -> Self {
        Self { until, timer: None }
    }

    fn forget(&mut self) {
        if let Some(timer) = self.timer.take() {
            with(|world| world.timers.remove(&timer));
        }
    }
}

impl Future for Sleep {
    type Output = Tick;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Tick> {
        self.forget();
        let now = Tick::now();
        if self.until <= now {
            return Poll::Ready(now);
        }
        let until = self.until;
        self.timer = with(|world| {
            world.timer += 1;
            world.timers.insert((until, world.timer), cx.waker().clone());
            (until, world.timer)
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

impl AsyncLocalSleep for Sleep {
    type Instant = Tick;

    fn reset(mut self: Pin<&mut Self>, deadline: Tick) {
        self.forget();
        self.until = deadline;
    }
}

impl AsyncLocalSleepExt for Sleep {
    fn sleep_local(after: Duration) -> Self {
        Self::until(Tick::now() + after)
    }

    fn sleep_local_until(deadline: Tick) -> Self {
        Self::until(deadline)
    }
}

/// A stream of ticks, the first after one period, as in agnostic's own runtimes.
pub struct Interval {
    sleep: Sleep,
    period: Duration,
}

impl Stream for Interval {
    type Item = Tick;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Tick>> {
        self.poll_tick(cx).map(Some)
    }
}

impl AsyncLocalInterval for Interval {
    type Instant = Tick;

    fn reset(&mut self, interval: Duration) {
        self.sleep = Sleep::sleep_local(interval);
        self.period = interval;
    }

    fn reset_at(&mut self, instant: Tick) {
        self.sleep = Sleep::until(instant);
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Tick> {
        let tick = Pin::new(&mut self.sleep).poll(cx);
        if tick.is_ready() {
            self.sleep = Sleep::until(self.sleep.until + self.period);
        }
        tick
    }
}

impl AsyncLocalIntervalExt for Interval {
    fn interval_local(period: Duration) -> Self {
        Self { sleep: Sleep::sleep_local(period), period }
    }

    fn interval_local_at(start: Tick, period: Duration) -> Self {
        Self { sleep: Sleep::until(start), period }
    }
}

/// A future with a deadline.
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Sleep,
}

impl<F: Future> Timeout<F> {
    fn until(sleep: Sleep, future: F) -> Self {
        Self { future: Box::pin(future), sleep }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(&mut self.sleep).poll(cx).map(|_| Err(Elapsed))
    }
}

impl<F: Future + Send> AsyncTimeout<F> for Timeout<F> {
    type Instant = Tick;

    fn timeout(timeout: Duration, future: F) -> Self {
        Self::until(Sleep::sleep_local(timeout), future)
    }

    fn timeout_at(deadline: Tick, future: F) -> Self {
        Self::until(Sleep::until(deadline), future)
    }
}

impl<F: Future> AsyncLocalTimeout<F> for Timeout<F> {
    type Instant = Tick;

    fn timeout_local(timeout: Duration, future: F) -> Self {
        Self::until(Sleep::sleep_local(timeout), future)
    }

    fn timeout_local_at(deadline: Tick, future: F) -> Self {
        Self::until(Sleep::until(deadline), future)
    }
}

/// Task that was aborted.
#[derive(Debug)]
pub struct Aborted;

impl std::fmt::Display for Aborted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the task was aborted")
    }
}

impl std::error::Error for Aborted {}

impl From<Aborted> for std::io::Error {
    fn from(aborted: Aborted) -> Self {
        Self::other(aborted)
    }
}

/// Result of a task, and the one that waits for it.
struct Slot<O> {
    output: Option<O>,
    waiting: Option<Waker>,
    /// Time before which the task does not begin.
    begins: Option<Tick>,
    /// The task's own waker while it waits for that.
    task: Option<Waker>,
    begun: bool,
    finished: bool,
    aborted: bool,
}

impl<O> Slot<O> {
    fn end(&mut self, output: Option<O>) {
        self.finished = output.is_some();
        self.output = output;
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}

/// Handle of a task.
pub struct Handle<O> {
    slot: Arc<Mutex<Slot<O>>>,
    task: u64,
}

impl<O: 'static> Handle<O> {
    /// Starts a task that begins at a time, or at once.
    fn start<F: Future<Output = O> + 'static>(begins: Option<Tick>, future: F) -> Self {
        let slot =
            Slot { output: None, waiting: None, begins, task: None, begun: false, finished: false, aborted: false };
        let slot = Arc::new(Mutex::new(slot));
        let of_task = slot.clone();
        let task = start(async move {
            let mut sleep = None;
            std::future::poll_fn(|cx| {
                let mut slot = lock(&of_task);
                slot.task = Some(cx.waker().clone());
                let Some(begins) = slot.begins else { return Poll::Ready(()) };
                let mut until = Sleep::until(begins);
                let done = Pin::new(&mut until).poll(cx).map(drop);
                sleep = Some(until);
                done
            })
            .await;
            drop(sleep);
            lock(&of_task).begun = true;
            let output = future.await;
            lock(&of_task).end(Some(output));
        });
        Self { slot, task }
    }

    fn stop(&self) {
        let task = with(|world| world.tasks.remove(&self.task)).flatten();
        drop(task);
        let mut slot = lock(&self.slot);
        slot.aborted = true;
        slot.end(None);
    }
}

impl<O> Future for Handle<O> {
    type Output = Result<O, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.slot);
        match slot.output.take() {
            Some(output) => Poll::Ready(Ok(output)),
            None if slot.aborted => Poll::Ready(Err(Aborted)),
            None => {
                slot.waiting = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl<O: 'static> JoinHandle<O> for Handle<O> {
    type JoinError = Aborted;

    fn abort(self) {
        self.stop();
    }
}

impl<O: 'static> LocalJoinHandle<O> for Handle<O> {
    type JoinError = Aborted;
}

impl<O: Send + 'static> AfterHandle<O> for Handle<O> {
    type JoinError = Aborted;

    async fn cancel(self) -> Option<Result<O, Aborted>> {
        if let Some(output) = lock(&self.slot).output.take() {
            return Some(Ok(output));
        }
        self.stop();
        None
    }

    fn reset(&self, duration: Duration) {
        let mut slot = lock(&self.slot);
        slot.begins = Some(Tick::now() + duration);
        if let Some(task) = slot.task.take() {
            task.wake();
        }
    }

    fn abort(self) {
        self.stop();
    }

    fn is_expired(&self) -> bool {
        lock(&self.slot).begun
    }

    fn is_finished(&self) -> bool {
        lock(&self.slot).finished
    }
}
