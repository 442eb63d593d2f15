"""The support report: volume, speed, outcome and satisfaction of tickets."""
