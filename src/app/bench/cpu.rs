//! What a process has had of the processors, by `/proc/<pid>/stat` (proc(5)): threads that have ended count too.

use std::time::Duration;

use anyhow::Context;

/// The time that the process `pid`, or this one, has run so far, in user mode and in the kernel.
///
/// # Errors
/// When there is no such process, or no `/proc`.
pub(super) fn processor_time(pid: Option<u32>) -> anyhow::Result<Duration> {
    let path = pid.map_or("/proc/self/stat".to_owned(), |pid| format!("/proc/{pid}/stat"));
    let stat = std::fs::read_to_string(&path)
        .with_context(|| format!("{path} cannot be read, which tells the processor time of a process that is there"))?;
    let ticks = ticks_of(&stat).with_context(|| format!("{path} is not as proc(5) says"))?;
    let ticks_per_s = f64::from(u32::try_from(rustix::param::clock_ticks_per_second())?.max(1));
    Ok(Duration::from_secs_f64(f64::from(ticks) / ticks_per_s))
}

/// `utime` and `stime`, the 14th and the 15th field. The second is the program's name in brackets, which may hold anything.
fn ticks_of(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(|field| field.parse::<u32>().ok());
    times.next()??.checked_add(times.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_whatever_name_a_program_has() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 700 55 6 7 20 0 9 0 12345";
        assert_eq!(ticks_of(stat), Some(755));
        assert_eq!(ticks_of("42 (a) S 1 42"), None);
    }

    #[test]
    fn this_process_has_run_a_while() {
        let before = processor_time(None).expect("there is /proc");
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while processor_time(None).expect("there is /proc") == before {
            assert!(began.elapsed() < Duration::from_secs(60), "a busy loop takes no processor time: {sum}");
            sum = (0..100_000).fold(sum, u64::wrapping_add);
        }
    }
}
