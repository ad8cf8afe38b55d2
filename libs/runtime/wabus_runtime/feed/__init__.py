"""The feed: what has changed since a cursor, and from then on, over server-sent events and WebSockets.

    a projection's transaction ─▶ changes ─▶ a channel for each organisation ─▶ frames ─▶ whoever follows

Changes name rows and hold nothing of what is in them: frames are made of the tables when they are sent. So what was
erased is not told any more, several changes of one thing are one frame, and somebody slow costs a list of names.
"""
