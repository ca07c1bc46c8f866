"""The paper wing: run directories in, a claim out. Never imports torch; pandas, scipy and rich load only with the module that needs them.

from lab.results.collect import load
from lab.results.report import build, print_report, to_markdown
"""
