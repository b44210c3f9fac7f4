//! The parsers on excerpts of real files, and on random text: a parser returns a value or `None`, and never panics.

use super::*;
use proptest::prelude::*;

const MOUNTINFO: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,errors=remount-ro
40 27 253:2 /home /srv/a\\040b rw,noatime shared:7 master:1 - xfs /dev/mapper/vg-home rw,attr2,noquota
41 27 0:44 / /mnt/none rw - ramfs none rw
truncated line";

#[test]
fn mounts_have_options_of_both_kinds_and_unescaped_paths() {
    let mounts = mounts(MOUNTINFO);
    assert_eq!(mounts.len(), 4);
    assert_eq!(mounts[1].options, "rw,relatime,discard,errors=remount-ro");
    let expected = Mount {
        device: "253:2".into(),
        root: "/home".into(),
        mount_point: "/srv/a b".into(),
        options: "rw,noatime,attr2,noquota".into(),
        filesystem: "xfs".into(),
        source: "/dev/mapper/vg-home".into(),
    };
    assert_eq!(mounts[2], expected);
    assert_eq!(mounts[3].filesystem, "ramfs");
}

#[test]
fn fields_are_found_by_their_whole_name() {
    let text = "MemTotal:       24684096 kB\nMemFree:        22033196 kB\nHugePages_Total:       0\n";
    assert_eq!(field_bytes(text, "MemFree"), Some(22_033_196 * 1024));
    assert_eq!(field_bytes(text, "Mem"), None);
    assert_eq!(field_bytes(text, "HugePages_Total"), None, "not in kB");
    assert_eq!(field("model name\t: AMD EPYC\n", "model name"), Some("AMD EPYC"));
}

#[test]
fn lists_of_cores_are_numbers_and_ranges() {
    assert_eq!(core_list("0-3,8\n"), [0, 1, 2, 3, 8]);
    assert_eq!(core_list("5"), [5]);
    assert_eq!(core_list("5,x,3-,2-1, 7"), [5, 7]);
    assert_eq!(core_list("0-4294967295"), [0_u32; 0]);
}

#[test]
fn the_choice_is_the_bracketed_one() {
    assert_eq!(chosen("none [mq-deadline] kyber bfq \n"), "mq-deadline");
    assert_eq!(chosen("none\n"), "none");
    assert_eq!(chosen("write back\n"), "write back");
}

#[test]
fn stolen_time_is_a_share_of_all_time() {
    let earlier = cpu_ticks("cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 2 3 4 5 6 7 8\n").unwrap();
    let later = cpu_ticks("cpu  20 0 10 130 0 0 0 40 5 0\n").unwrap();
    assert_eq!(earlier, CpuTicks { total: 100, steal: 10, busy: 20 });
    assert!((later.steal_share_since(earlier) - 0.3).abs() < 1e-9);
    assert!(later.steal_share_since(later).abs() < 1e-9, "no time, nothing stolen");
    // 10 ticks were used, at 100 a second. This process used 0.06 s of them.
    assert!((later.others_s_since(earlier, 0.06, 100) - 0.04).abs() < 1e-9);
    assert!(later.others_s_since(earlier, 9.0, 100).abs() < 1e-9, "never negative");
    assert_eq!(cpu_ticks("cpu  1 2 3\n"), None);
}

#[test]
fn ticks_of_some_cores_are_added_up() {
    let stat =
        "cpu  9 9 9 9 9 9 9 9\ncpu0 1 0 1 7 0 0 0 1 0\ncpu1 2 0 0 8 0 0 0 0 0\ncpu10 5 0 0 0 0 0 0 5 0\n";
    let of = |cores: &[u32]| ticks_of_cores(stat, &cores.iter().copied().collect());
    assert_eq!(of(&[0]), Some(CpuTicks { total: 10, steal: 1, busy: 2 }));
    assert_eq!(of(&[1, 10]), Some(CpuTicks { total: 20, steal: 5, busy: 7 }));
    assert_eq!(of(&[0, 2]), None, "a core that is not there");
}

#[test]
fn a_thread_may_be_called_anything() {
    let stat = "217 (sh) ard (0) R 1 2 3 0 -1 4194304 98 0 0 0 250 31 0 0 20 0 1 0 864118 3133440";
    let expected = TaskTicks { name: "sh) ard (0".into(), user: 250, system: 31, core: None };
    assert_eq!(task_ticks(stat), Some(expected), "a line of an old kernel");
    let whole = format!("{stat} 1 18446744073709551615 4 5 0 0 0 0 0 0 0 0 0 0 17 3 0 0 0");
    assert_eq!(task_ticks(&whole).unwrap().core, Some(3));
    assert_eq!(task_ticks("217 (short) R 1"), None);
    assert_eq!(process_group("217 (a (b) c) S 1 4711 4711 0 -1"), Some(4711));
    assert_eq!(process_group("217 (short) R 1"), None);
}

#[test]
fn disks_count_in_sectors_of_512_bytes() {
    let stat =
        "  180503    32996 12200434   261818    50544   118349 49171744   243464        0    51664   510614";
    let expected = DiskCounters { read: 12_200_434 * 512, written: 49_171_744 * 512, flushes: None };
    assert_eq!(disk_counters(stat), Some(expected), "kernels before 5.5 count no flushes");
    assert_eq!(disk_counters("1 2 3"), None);
    let stat = "70514 33004 9911386 52143 403862 98103 541270568 3107254 2 402190 3250418 5140 0 917513328 20518 64329 70503";
    let now = disk_counters(stat).unwrap();
    assert_eq!((now.written, now.flushes), (541_270_568 * 512, Some(64_329)));
    let then = DiskCounters { flushes: Some(64_300), ..expected };
    assert_eq!(now.since(then).flushes, Some(29));
    assert_eq!(now.since(expected).flushes, None);
}

#[test]
fn interrupts_are_counted_by_core_even_when_one_is_offline() {
    let text = "           CPU0       CPU2       
 28:          0          7 PCI-MSIX-0000:00:01.0   0-edge      virtio0-config
 36:          5     133351 PCI-MSIX-0000:00:02.0   1-edge      virtio1-req.0
NMI:          0          0   Non-maskable interrupts
ERR:          0";
    let found = interrupts(text);
    assert_eq!(found.len(), 2);
    let expected =
        Interrupts { number: 36, action: "virtio1-req.0".into(), per_core: vec![(0, 5), (2, 133_351)] };
    assert_eq!(found[1], expected);
}

#[test]
fn the_load_average_is_the_first_of_three() {
    assert_eq!(load_average("0.07 0.11 0.12 3/108 21438\n"), Some(0.07));
    assert_eq!(load_average(""), None);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "[ -~\\n\\t\\\\:()\\[\\]0-9é]{0,300}") {
        mounts(&text);
        field_bytes(&text, "MemFree");
        chosen(&text);
        cpu_ticks(&text);
        task_ticks(&text);
        disk_counters(&text);
        interrupts(&text);
        load_average(&text);
    }

    #[test]
    fn paths_survive_mountinfos_escapes(path in "/[ -~é]{0,40}") {
        let escaped = path.replace('\\', "\\134").replace(' ', "\\040");
        let line = format!("1 2 8:1 / {escaped} rw - ext4 /dev/sda1 rw");
        prop_assert_eq!(&mounts(&line)[0].mount_point, &path);
    }
}
