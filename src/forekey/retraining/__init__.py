"""Deciding: whether to train again, and whether the challenger takes over. Decisions are pure functions of reports."""

from forekey.retraining.policy import Challenge, Decision, Verdict, judge, should_retrain

__all__ = ["Challenge", "Decision", "Verdict", "judge", "should_retrain"]
