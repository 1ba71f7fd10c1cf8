//! `growth_replay_bytes_..`: what the memory of DPoP proofs takes for each, in a store for as many as are
//! alive. What a use costs is measured by the benchmark `replay`.

use portcullis::sender::{MemoryReplayStore, Sighting};

use crate::harness::{Effort, Goal, Summary, weigh};
use crate::proofs::Proofs;

pub fn bytes(effort: &Effort, summary: &mut Summary) {
    let sizes: &[u64] = match effort.quick {
        true => &[10_000, 100_000],
        false => &[10_000, 100_000, 1_000_000, 10_000_000],
    };
    let name = |size: u64| format!("growth_replay_bytes_{size}");
    let wanted: Vec<_> = sizes.iter().copied().filter(|size| effort.wants(&name(*size))).collect();
    if wanted.is_empty() {
        return;
    }
    println!("\n### memory of proofs that are alive\n");
    println!("| proofs | bytes | bytes/proof |\n|--:|--:|--:|");
    for alive in wanted {
        let proofs = Proofs::new(alive);
        let (store, held) = weigh(|| {
            let store = MemoryReplayStore::with_capacity(alive as usize);
            let first = |number| assert_eq!(proofs.record(&store, number), Sighting::First);
            (0..alive).for_each(first);
            store
        });
        assert_eq!(store.len() as u64, alive);
        let each = held as f64 / alive as f64;
        println!("| {alive} | {held} | {each:.1} |");
        let most = if alive < 1_000_000 { 64.0 } else { 48.0 };
        summary.counted(&name(alive), each, "bytes/proof", Goal::at_most(most));
    }
}
