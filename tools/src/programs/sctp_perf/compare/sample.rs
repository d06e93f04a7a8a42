//! The figures of one run, and medians of several.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use super::catalog::Metric;

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Sample {
    values: BTreeMap<Metric, f64>,
}

impl Sample {
    /// From the output of a sender and a receiver of bulk. The sender measures its processor time
    /// over a period of its own, so it is scaled to that of the receiver.
    pub(crate) fn bulk(sender: &Value, receiver: &Value) -> anyhow::Result<Self> {
        let (seconds, bytes) = (number(receiver, "seconds")?, number(receiver, "bytes")?);
        anyhow::ensure!(bytes > 0.0 && seconds > 0.0, "nothing arrived while it counted");
        let mut sample = Sample::default();
        sample.set(Metric::BitsPerSecond, bytes * 8.0 / seconds);
        sample.set(Metric::MessagesPerSecond, number(receiver, "messages")? / seconds);
        let per_second = |end: &Value| anyhow::Ok(number(end, "cpu_s")? / number(end, "seconds")?);
        if let (Ok(sender), Ok(receiver)) = (per_second(sender), per_second(receiver)) {
            sample.set(Metric::CpuSecondsPerGb, (sender + receiver) / (bytes / seconds) * 1e9);
        }
        Ok(sample)
    }

    /// From the output of one process with both ends, or of the client of a ping-pong.
    pub(crate) fn single(value: &Value) -> anyhow::Result<Self> {
        let mut sample = Sample::default();
        if value.get("bytes").is_some() {
            let seconds = number(value, "seconds")?;
            sample.set(Metric::BitsPerSecond, number(value, "bytes")? * 8.0 / seconds);
            sample.set(Metric::MessagesPerSecond, number(value, "messages")? / seconds);
        }
        let known = [
            ("p50_us", Metric::P50Us),
            ("p99_us", Metric::P99Us),
            ("bytes_per_end", Metric::BytesPerEnd),
            ("per_second", Metric::SetupsPerSecond),
        ];
        for (name, metric) in known {
            if let Ok(number) = number(value, name) {
                sample.set(metric, number);
            }
        }
        anyhow::ensure!(!sample.values.is_empty(), "no figure in {value}");
        Ok(sample)
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<f64> {
        self.values.get(&metric).copied()
    }

    fn set(&mut self, metric: Metric, value: f64) {
        self.values.insert(metric, value);
    }
}

fn number(value: &Value, name: &str) -> anyhow::Result<f64> {
    value
        .get(name)
        .and_then(Value::as_f64)
        .with_context(|| format!("there is no number '{name}' in {value}"))
}

/// The median of a metric, and its extremes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Median {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Median {
    /// From the samples that have the metric; `None` if there are none.
    pub(crate) fn of(samples: &[Sample], metric: Metric) -> Option<Self> {
        let mut values: Vec<f64> = samples.iter().filter_map(|sample| sample.get(metric)).collect();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        let (&least, &most) = (values.first()?, values.last()?);
        let median = match values.len() % 2 {
            0 => (values[middle - 1] + values[middle]) / 2.0,
            _ => values[middle],
        };
        Some(Median { median, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn processor_time_is_that_of_both_ends_per_byte_received() {
        let sender = json!({ "bytes": 0, "messages": 0, "seconds": 4.0, "cpu_s": 2.0 });
        let receiver = json!({ "bytes": 2e9, "messages": 10, "seconds": 2.0, "cpu_s": 1.5 });
        let sample = Sample::bulk(&sender, &receiver).unwrap();
        assert_eq!(sample.get(Metric::BitsPerSecond), Some(8e9));
        assert_eq!(sample.get(Metric::MessagesPerSecond), Some(5.0));
        assert_eq!(sample.get(Metric::CpuSecondsPerGb), Some(0.5 + 0.75));
    }

    #[test]
    fn what_is_no_figure_is_none() {
        assert!(Sample::single(&json!({ "unknown": 1 })).is_err());
        let empty = json!({ "bytes": 0, "messages": 0, "seconds": 2.0, "cpu_s": 1.0 });
        assert!(Sample::bulk(&empty, &empty).is_err());
    }

    #[test]
    fn medians() {
        let samples = |values: &[f64]| -> Vec<Sample> {
            values.iter().map(|v| Sample::single(&json!({ "per_second": v })).unwrap()).collect()
        };
        let of = |values: &[f64]| Median::of(&samples(values), Metric::SetupsPerSecond);
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some(Median { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Median::of(&samples(&[1.0]), Metric::P50Us), None);
    }
}
