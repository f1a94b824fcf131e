"""What each verb takes, put together from the groups; an option of one verb alone is stated here.

``...Options`` are the keywords of a Python function; ``...Flags`` add how the command line shows the answer.
"""
