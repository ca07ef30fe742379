"""Clarion: self-hosted push notification platform."""
