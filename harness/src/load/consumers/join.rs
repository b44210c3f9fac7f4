//! Joining: before a trial begins, the members of all groups join, until every partition has an owner.

use super::member::Member;
use crate::load::wake::waker_of;
use crate::measure::group::Group;
use crate::time::timeline::Timeline;
use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

/// Longest time between two looks at the members.
const LOOK: Duration = Duration::from_millis(5);

/// How the joining has ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// Every partition has an owner.
    Settled,
    /// The run was stopped.
    Stopped,
    /// A group did not settle in time. The text says which one, and what is missing.
    Missed(String),
}

/// Lets `members` join, for `longest` at most. Nothing may be produced meanwhile.
///
/// # Errors
/// The system failed.
pub(crate) fn join(
    members: &mut [&mut Member],
    timeline: &Timeline,
    longest: Duration,
    is_stopped: &dyn Fn() -> bool,
) -> anyhow::Result<Joined> {
    let waker = waker_of(&std::thread::current());
    let mut context = Context::from_waker(&waker);
    let begun = Instant::now();
    loop {
        for member in members.iter_mut() {
            member.advance_join(&mut context, timeline)?;
        }
        let Some(waiting) = members.iter().map(|member| member.group()).find(|group| !group.is_settled())
        else {
            members.iter().for_each(|member| member.begin());
            return Ok(Joined::Settled);
        };
        if is_stopped() {
            return Ok(Joined::Stopped);
        }
        if begun.elapsed() >= longest {
            return Ok(Joined::Missed(missed(waiting, longest)));
        }
        std::thread::park_timeout(LOOK);
    }
}

fn missed(group: &Arc<Group>, longest: Duration) -> String {
    let spec = group.spec();
    format!(
        "the group `{}` did not settle in {} s: {} of {} partitions have one owner among its {} members; use fewer \
         members or groups",
        spec.id,
        longest.as_secs(),
        group.owned(),
        spec.partitions,
        spec.members
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::consumers::Check;
    use crate::load::consumers::member::MemberPlan;
    use crate::load::pool::StampPlace;
    use crate::measure::group::GroupSpec;
    use crate::system::fake::{Behaviour, FakeSystem, GroupFaults};
    use crate::system::{MemberSpec, System as _};
    use crate::workload::{Assignor, Verify};

    /// Lets two members join a group of three partitions.
    fn joined(faults: GroupFaults, is_stopped: bool) -> Joined {
        let mut system = FakeSystem::new(Behaviour { group: faults, ..Behaviour::default() });
        system.create_topic("t", 3).unwrap();
        let id = "vnotch-t-bench1-group".to_owned();
        let spec = MemberSpec {
            group: id.clone(),
            topic: "t".into(),
            assignor: Assignor::Range,
            heartbeat_interval: Duration::from_secs(3),
            auto_commit: None,
            fetch_bytes_max: 1 << 20,
        };
        let (topic, number, members, partitions, producers) = (0, 0, 2, 3, 1);
        let made = GroupSpec { id, topic, number, members, partitions, producers, may_be_deleted: false };
        let group = Arc::new(Group::new(made));
        let member = |number| {
            let plan = MemberPlan {
                group: Arc::clone(&group),
                number,
                check: Check {
                    first_sender: 0,
                    verify: Verify::Sequence,
                    place: StampPlace::Value,
                    is_open_load: false,
                    salt: None,
                },
                commits: false,
                sync_every: None,
                churn_every: None,
            };
            Member::new(plan, system.member(&spec).unwrap())
        };
        let (mut first, mut second) = (member(0), member(1));
        let second_s = Duration::from_secs(1);
        let timeline = Timeline::new(second_s, second_s, second_s, second_s);
        join(&mut [&mut first, &mut second], &timeline, Duration::from_millis(30), &|| is_stopped).unwrap()
    }

    #[test]
    fn the_trial_begins_once_every_partition_has_an_owner() {
        assert_eq!(joined(GroupFaults::default(), false), Joined::Settled);
    }

    #[test]
    fn a_group_that_does_not_settle_is_named_with_what_is_missing() {
        let never = GroupFaults { never_settles: true, ..GroupFaults::default() };
        let Joined::Missed(why) = joined(never, false) else { panic!("it cannot settle") };
        assert!(why.contains("`vnotch-t-bench1-group` did not settle in "), "{why}");
        assert!(why.contains("0 of 3 partitions have one owner among its 2 members"), "{why}");
        assert_eq!(joined(never, true), Joined::Stopped);
    }

    #[test]
    fn a_partition_with_two_owners_is_not_settled() {
        let shared = GroupFaults { shares_from: Some(0), ..GroupFaults::default() };
        let Joined::Missed(why) = joined(shared, false) else { panic!("partition 0 has two owners") };
        assert!(why.contains("2 of 3 partitions"), "{why}");
    }
}
