# ruff: noqa: RUF001  # apostrophes as French is written
"""What the preference page says, in each of its languages.

A language is added here and nowhere else; `CATALOGUE_VERSION` goes up when words change that a
person consents by.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

CATALOGUE_VERSION: Final = "page-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """One language. `{app}` and `{date}` are filled in."""

    name: str
    """Of the language, in itself."""
    right_to_left: bool = False
    title: str
    intro: str
    saved: str
    stopped: str
    resume: str
    resume_hint: str
    topics: str
    always: str
    every: str
    daily: str
    weekly: str
    off: str
    unconfirmed: str
    confirm: str
    quiet: str
    quiet_hint: str
    quiet_from: str
    quiet_to: str
    quiet_kept: str
    zone: str
    zone_hint: str
    days: tuple[str, str, str, str, str, str, str]
    pause: str
    pause_days: str
    pause_hint: str
    paused: str
    pause_end: str
    language: str
    save: str
    stop: str
    stop_hint: str
    wrong: str
    quiet_wrong: str
    gone_title: str
    gone: str


WORDS: Final[Mapping[str, Words]] = {
    "en": Words(
        name="English",
        title="Your notifications from {app}",
        intro="Choose what {app} may send to your devices. Changes take effect at once.",
        saved="Your choices are saved.",
        stopped="You receive no notifications from {app}.",
        resume="Receive notifications again",
        resume_hint="Your choices below will count again.",
        topics="What you receive",
        always="Always sent, because the service needs it.",
        every="Every message",
        daily="Once a day, as a summary",
        weekly="Once a week, as a summary",
        off="Off",
        unconfirmed="Not active yet: please confirm that you want this.",
        confirm="Yes, I want this",
        quiet="Quiet hours",
        quiet_hint="Messages wait until the end of the quiet hours, by the clock of your device. "
        "Leave a day empty for none.",
        quiet_from="from",
        quiet_to="to",
        quiet_kept="Your quiet hours have more than this page can show. They stay as they are "
        "unless you tick the box.",
        zone="Your time zone",
        zone_hint="Such as Europe/Paris. A device that tells its own time zone goes by "
        "that one. Empty: not known.",
        days=("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        pause="Take a break",
        pause_days="Days without notifications",
        pause_hint="1 to 365 days. Empty: no change.",
        paused="Paused until {date}.",
        pause_end="End the break now",
        language="Language",
        save="Save",
        stop="Stop everything",
        stop_hint="One click, no questions: {app} sends you no notifications any more.",
        wrong="Not saved. Please check your choices.",
        quiet_wrong="Not saved: a quiet time needs a beginning and an end, and some hour of the "
        "week has to stay open.",
        gone_title="This link is no longer valid",
        gone="It has expired or was replaced. Open the settings in the app to get a new one.",
    ),
    "fr": Words(
        name="Français",
        title="Vos notifications de {app}",
        intro="Choisissez ce que {app} peut envoyer à vos appareils. Vos choix s’appliquent "
        "aussitôt.",
        saved="Vos choix sont enregistrés.",
        stopped="Vous ne recevez aucune notification de {app}.",
        resume="Recevoir de nouveau des notifications",
        resume_hint="Vos choix ci-dessous s’appliqueront de nouveau.",
        topics="Ce que vous recevez",
        always="Toujours envoyé, car le service en a besoin.",
        every="Chaque message",
        daily="Une fois par jour, en résumé",
        weekly="Une fois par semaine, en résumé",
        off="Désactivé",
        unconfirmed="Pas encore actif : veuillez confirmer votre accord.",
        confirm="Oui, je le souhaite",
        quiet="Heures calmes",
        quiet_hint="Les messages attendent la fin des heures calmes, à l’heure de votre appareil. "
        "Laissez un jour vide pour n’en avoir aucune.",
        quiet_from="de",
        quiet_to="à",
        quiet_kept="Vos heures calmes dépassent ce que cette page peut montrer. Elles restent "
        "telles quelles, sauf si vous cochez la case.",
        zone="Votre fuseau horaire",
        zone_hint="Par exemple Europe/Paris. Un appareil qui indique son propre fuseau "
        "suit celui-ci. Vide : inconnu.",
        days=("Lundi", "Mardi", "Mercredi", "Jeudi", "Vendredi", "Samedi", "Dimanche"),
        pause="Faire une pause",
        pause_days="Jours sans notifications",
        pause_hint="De 1 à 365 jours. Vide : aucun changement.",
        paused="En pause jusqu’au {date}.",
        pause_end="Terminer la pause maintenant",
        language="Langue",
        save="Enregistrer",
        stop="Tout arrêter",
        stop_hint="Un clic, aucune question : {app} ne vous envoie plus aucune notification.",
        wrong="Non enregistré. Veuillez vérifier vos choix.",
        quiet_wrong="Non enregistré : une plage calme a besoin d’un début et d’une fin, et une "
        "heure de la semaine doit rester libre.",
        gone_title="Ce lien n’est plus valable",
        gone="Il a expiré ou a été remplacé. Ouvrez les réglages de l’application pour en obtenir "
        "un nouveau.",
    ),
    "de": Words(
        name="Deutsch",
        title="Ihre Benachrichtigungen von {app}",
        intro="Bestimmen Sie, was {app} an Ihre Geräte senden darf. Änderungen gelten sofort.",
        saved="Ihre Auswahl ist gespeichert.",
        stopped="Sie erhalten keine Benachrichtigungen von {app}.",
        resume="Wieder Benachrichtigungen erhalten",
        resume_hint="Ihre Auswahl unten gilt dann wieder.",
        topics="Was Sie erhalten",
        always="Wird immer gesendet, weil der Dienst es braucht.",
        every="Jede Nachricht",
        daily="Einmal am Tag, zusammengefasst",
        weekly="Einmal in der Woche, zusammengefasst",
        off="Aus",
        unconfirmed="Noch nicht aktiv: Bitte bestätigen Sie, dass Sie das möchten.",
        confirm="Ja, das möchte ich",
        quiet="Ruhezeiten",
        quiet_hint="Nachrichten warten bis zum Ende der Ruhezeit, nach der Uhr Ihres Geräts. "
        "Lassen Sie einen Tag leer, wenn es keine geben soll.",
        quiet_from="von",
        quiet_to="bis",
        quiet_kept="Ihre Ruhezeiten enthalten mehr, als diese Seite zeigen kann. Sie bleiben, wie "
        "sie sind, außer Sie kreuzen das Kästchen an.",
        zone="Ihre Zeitzone",
        zone_hint="Zum Beispiel Europe/Berlin. Ein Gerät, das seine eigene Zeitzone "
        "nennt, richtet sich nach dieser. Leer: unbekannt.",
        days=(
            "Montag",
            "Dienstag",
            "Mittwoch",
            "Donnerstag",
            "Freitag",
            "Samstag",
            "Sonntag",
        ),
        pause="Pause machen",
        pause_days="Tage ohne Benachrichtigungen",
        pause_hint="1 bis 365 Tage. Leer: keine Änderung.",
        paused="Pause bis {date}.",
        pause_end="Pause jetzt beenden",
        language="Sprache",
        save="Speichern",
        stop="Alles abbestellen",
        stop_hint="Ein Klick, keine Fragen: {app} sendet Ihnen keine Benachrichtigungen mehr.",
        wrong="Nicht gespeichert. Bitte prüfen Sie Ihre Auswahl.",
        quiet_wrong="Nicht gespeichert: Eine Ruhezeit braucht Anfang und Ende, und eine Stunde "
        "der Woche muss offen bleiben.",
        gone_title="Dieser Link gilt nicht mehr",
        gone="Er ist abgelaufen oder wurde ersetzt. Öffnen Sie die Einstellungen der App, um "
        "einen neuen zu erhalten.",
    ),
    "es": Words(
        name="Español",
        title="Sus notificaciones de {app}",
        intro="Elija qué puede enviar {app} a sus dispositivos. Los cambios se aplican al momento.",
        saved="Sus preferencias se han guardado.",
        stopped="No recibe ninguna notificación de {app}.",
        resume="Volver a recibir notificaciones",
        resume_hint="Las preferencias de abajo volverán a aplicarse.",
        topics="Qué recibe",
        always="Se envía siempre, porque el servicio lo necesita.",
        every="Todos los mensajes",
        daily="Una vez al día, en resumen",
        weekly="Una vez por semana, en resumen",
        off="Desactivado",
        unconfirmed="Aún no está activo: confirme que lo desea.",
        confirm="Sí, lo deseo",
        quiet="Horas de silencio",
        quiet_hint="Los mensajes esperan al final de las horas de silencio, según el reloj de su "
        "dispositivo. Deje un día vacío para que no haya ninguna.",
        quiet_from="de",
        quiet_to="a",
        quiet_kept="Sus horas de silencio contienen más de lo que esta página puede mostrar. "
        "Quedan como están, salvo que marque la casilla.",
        zone="Su zona horaria",
        zone_hint="Por ejemplo Europe/Madrid. Un dispositivo que indica su propia zona "
        "se rige por ella. Vacío: desconocida.",
        days=("Lunes", "Martes", "Miércoles", "Jueves", "Viernes", "Sábado", "Domingo"),
        pause="Hacer una pausa",
        pause_days="Días sin notificaciones",
        pause_hint="De 1 a 365 días. Vacío: sin cambios.",
        paused="En pausa hasta el {date}.",
        pause_end="Terminar la pausa ahora",
        language="Idioma",
        save="Guardar",
        stop="Detener todo",
        stop_hint="Un clic, sin preguntas: {app} no le envía más notificaciones.",
        wrong="No se ha guardado. Revise sus preferencias.",
        quiet_wrong="No se ha guardado: un horario de silencio necesita inicio y fin, y alguna "
        "hora de la semana debe quedar libre.",
        gone_title="Este enlace ya no es válido",
        gone="Ha caducado o fue sustituido. Abra los ajustes de la aplicación para obtener otro.",
    ),
    "ar": Words(
        name="العربية",
        right_to_left=True,
        title="إشعاراتك من {app}",
        intro="اختر ما يمكن أن يرسله {app} إلى أجهزتك. تسري التغييرات فورًا.",
        saved="تم حفظ اختياراتك.",
        stopped="لا تصلك أي إشعارات من {app}.",
        resume="استقبال الإشعارات من جديد",
        resume_hint="ستسري اختياراتك أدناه من جديد.",
        topics="ما يصلك",
        always="يُرسل دائمًا لأن الخدمة تحتاج إليه.",
        every="كل رسالة",
        daily="مرة في اليوم، ملخصًا",
        weekly="مرة في الأسبوع، ملخصًا",
        off="إيقاف",
        unconfirmed="لم يُفعَّل بعد: يُرجى تأكيد رغبتك.",
        confirm="نعم، أرغب في ذلك",
        quiet="ساعات الهدوء",
        quiet_hint="تنتظر الرسائل حتى نهاية ساعات الهدوء بحسب ساعة جهازك. اترك اليوم فارغًا إن لم "
        "ترد ذلك.",
        quiet_from="من",
        quiet_to="إلى",
        quiet_kept="ساعات الهدوء لديك أكثر مما يمكن لهذه الصفحة عرضه. تبقى كما هي ما لم تضع علامة "
        "في المربع.",
        zone="منطقتك الزمنية",
        zone_hint="مثل Africa/Cairo. الجهاز الذي يذكر منطقته الزمنية يتبعها. فارغ: غير معروفة.",
        days=("الاثنين", "الثلاثاء", "الأربعاء", "الخميس", "الجمعة", "السبت", "الأحد"),
        pause="استراحة",
        pause_days="أيام بلا إشعارات",
        pause_hint="من 1 إلى 365 يومًا. فارغ: بلا تغيير.",
        paused="متوقف مؤقتًا حتى {date}.",
        pause_end="إنهاء الاستراحة الآن",
        language="اللغة",
        save="حفظ",
        stop="إيقاف كل شيء",
        stop_hint="نقرة واحدة بلا أسئلة: لن يرسل إليك {app} أي إشعارات بعد الآن.",
        wrong="لم يُحفظ. يُرجى مراجعة اختياراتك.",
        quiet_wrong="لم يُحفظ: تحتاج فترة الهدوء إلى بداية ونهاية، ويجب أن تبقى ساعة من الأسبوع "
        "مفتوحة.",
        gone_title="هذا الرابط لم يعد صالحًا",
        gone="انتهت صلاحيته أو استُبدل. افتح إعدادات التطبيق للحصول على رابط جديد.",
    ),
}
"""Language -> its words; English is what a reader of any other language gets."""

TEXTS: Final = tuple(field.name for field in fields(Words))
