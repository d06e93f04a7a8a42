//! Detecting the kernel's own SCTP, which disturbs a stack that uses raw sockets.

use std::fmt;
use std::path::Path;

/// Says that the kernel speaks SCTP itself (on Linux: that the module `sctp` is loaded). The kernel
/// does not know the associations of this stack, so it answers their packets with ABORT. The
/// [`Display`](fmt::Display) form tells users what to do about that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSctp(());

impl KernelSctp {
    pub(super) fn detect() -> Option<Self> {
        let linux = cfg!(all(any(target_os = "linux", target_os = "android"), not(portable)));
        (linux && Path::new(KERNEL_SCTP).exists()).then_some(KernelSctp(()))
    }
}

impl fmt::Display for KernelSctp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the kernel's own SCTP is loaded (/proc/net/sctp exists) and will abort associations \
             of this stack: unload it (modprobe -r sctp) and keep it from coming back (blacklist \
             sctp), drop its ABORTs with an output rule of nftables, or use UDP encapsulation",
        )
    }
}

const KERNEL_SCTP: &str = "/proc/net/sctp";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_remedies() {
        let sentence = KernelSctp(()).to_string();
        for word in ["ABORT", "modprobe -r sctp", "blacklist", "nftables", "UDP"] {
            assert!(sentence.to_lowercase().contains(&word.to_lowercase()), "{word}: {sentence}");
        }
    }

    #[test]
    fn detection_follows_the_file() {
        let there = Path::new(KERNEL_SCTP).exists();
        assert_eq!(
            KernelSctp::detect().is_some(),
            there && cfg!(target_os = "linux") && !cfg!(portable)
        );
    }
}
