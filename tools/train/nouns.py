"""What things are called. Every form of words means one picture, so that no prompt asks for a blend of two.

Official names come first, then the aliases below, then keywords of the Unicode CLDR. A keyword that several pictures
share goes to the one whose name says it most plainly; the others lose it.
"""

import dataclasses
import json
import pathlib
import re

ALIASES_EN = {  # official name: other names, "|" between
    "hot beverage": "cup of coffee|coffee cup|hot coffee|mug of coffee|hot tea", "automobile": "vehicle|car|red car",
    "hamburger": "fast food|burger|cheeseburger", "pizza": "slice of pizza|pizza slice", "red heart": "love|heart|love heart",
    "bicycle": "bike", "motorcycle": "motorbike", "motor scooter": "moped|scooter", "dog face": "puppy|dog's face|dog head",
    "cat face": "fluffy cat|cute cat|furry cat|little cat|kitten|cat's face|cat head|kitty", "red apple": "apple", "star": "gold star|yellow star",
    "glowing star": "shiny star", "crescent moon": "moon|yellow moon", "house": "home", "airplane": "plane|jet|aeroplane",
    "soccer ball": "ball|soccer|football ball", "smiling face with sunglasses": "cool face|cool smiley",
    "grinning face": "smiley|smiley face|happy face|smile", "face with tears of joy": "laughing face|crying laughing face",
    "loudly crying face": "sobbing face", "frowning face": "sad face", "enraged face": "furious face",
    "thumbs up": "like|thumb up", "evergreen tree": "pine tree|fir tree|pine", "deciduous tree": "tree|green tree|big tree",
    "wrapped gift": "gift|present|gift box|birthday present", "laptop": "laptop computer|notebook computer",
    "mobile phone": "smartphone|cell phone|phone", "light bulb": "lightbulb|bulb|lamp",
    "soft ice cream": "ice cream cone", "french fries": "fries|chips", "cooked rice": "bowl of rice|rice bowl",
    "steaming bowl": "bowl of noodles|noodles|ramen|noodle soup", "beer mug": "glass of beer|beer|mug of beer",
    "wine glass": "glass of wine|glass of red wine|wine", "umbrella with rain drops": "umbrella in the rain",
    "cloud with rain": "rain cloud|rain", "cloud with snow": "snow cloud", "high voltage": "lightning bolt|lightning|bolt",
    "books": "stack of books|pile of books", "closed book": "book|red book", "bus": "city bus", "sailboat": "sailing boat|boat",
    "ship": "cargo ship", "passenger ship": "cruise ship", "tulip": "pink tulip", "rose": "red rose",
    "blossom": "yellow flower|flower", "rabbit face": "bunny face", "rabbit": "bunny|hare", "watch": "wristwatch",
    "camera": "photo camera", "locked": "padlock|lock", "crown": "gold crown|golden crown", "glasses": "eyeglasses|spectacles",
    "backpack": "school bag|rucksack", "robot": "robot head|robot face", "pile of poo": "poop|poo", "fire": "flame|flames",
    "globe showing Asia-Australia": "earth|planet earth|globe|world", "taxi": "yellow taxi|cab|taxi cab",
    "grapes": "fruit|bunch of grapes", "doughnut": "donut", "honeybee": "bee|bumblebee", "lady beetle": "ladybug|ladybird",
    "T-Rex": "tyrannosaurus|dinosaur|T-Rex dinosaur|tyrannosaurus rex", "sauropod": "long-necked dinosaur|brontosaurus",
    "ewe": "sheep|lamb", "horse racing": "jockey", "mouse face": "mouse's face", "chicken": "hen", "baby chick": "chick|little chick",
    "bird": "little bird|songbird", "fish": "blue fish", "tropical fish": "yellow fish|clownfish", "blowfish": "pufferfish",
    "spiral shell": "seashell|shell|conch", "cherry blossom": "sakura", "four leaf clover": "lucky clover|four-leaf clover",
    "maple leaf": "red leaf|autumn leaf", "leaf fluttering in wind": "green leaves|leaf", "seedling": "sprout|young plant",
    "potted plant": "house plant|plant in a pot", "hot pepper": "chili|chili pepper|red chili", "ear of corn": "corn|corn cob|corn on the cob",
    "leafy green": "lettuce|salad leaf", "eggplant": "aubergine", "kiwi fruit": "kiwi", "tangerine": "orange fruit|mandarin",
    "cheese wedge": "cheese|piece of cheese", "poultry leg": "chicken leg|drumstick", "cut of meat": "steak|piece of meat",
    "bread": "loaf of bread|toast", "baguette bread": "baguette", "pancakes": "stack of pancakes", "egg": "white egg",
    "cooking": "fried egg|frying pan", "green salad": "salad|bowl of salad", "rice ball": "onigiri", "shortcake": "slice of cake|piece of cake|strawberry cake",
    "birthday cake": "cake with candles|birthday cake with candles|cake", "chocolate bar": "chocolate|bar of chocolate",
    "candy": "sweet|wrapped candy", "lollipop": "lolly", "honey pot": "honey|jar of honey", "glass of milk": "milk|milk glass",
    "tropical drink": "tropical cocktail|summer drink", "cocktail glass": "martini|cocktail", "bubble tea": "boba tea|milk tea with pearls",
    "cup with straw": "soda|soft drink|cola", "fork and knife": "knife and fork|cutlery", "kitchen knife": "knife|chef's knife",
    "snow-capped mountain": "snowy mountain|mountain with snow", "beach with umbrella": "beach|sandy beach", "desert island": "island|tropical island",
    "classical building": "greek temple|museum", "office building": "skyscraper|office tower", "houses": "village|row of houses",
    "house with garden": "house with a tree|house with a garden", "night with stars": "night|starry night|night sky", "cityscape": "city|city skyline",
    "fountain": "water fountain", "ferris wheel": "big wheel", "locomotive": "steam train|steam engine|steam locomotive",
    "high-speed train": "fast train", "police car": "cop car", "fire engine": "fire truck", "delivery truck": "truck|lorry|delivery van",
    "racing car": "race car|formula one car", "fuel pump": "gas pump|petrol pump", "vertical traffic light": "traffic light|traffic lights",
    "anchor": "ship's anchor", "flying saucer": "ufo|spaceship", "rocket": "space rocket|rocket ship", "satellite": "space satellite",
    "hourglass done": "hourglass|sand clock", "mantelpiece clock": "mantel clock", "alarm clock": "red alarm clock", "sun with face": "smiling sun",
    "ringed planet": "saturn|planet with rings|planet", "shooting star": "falling star", "tornado": "whirlwind", "droplet": "drop of water|water drop",
    "water wave": "wave|ocean wave|big wave", "jack-o-lantern": "halloween pumpkin|carved pumpkin|pumpkin", "Christmas tree": "decorated christmas tree|xmas tree",
    "balloon": "red balloon", "party popper": "confetti popper|confetti", "ribbon": "pink bow|bow", "trophy": "gold cup|golden trophy|winner's cup",
    "1st place medal": "gold medal", "2nd place medal": "silver medal", "3rd place medal": "bronze medal", "american football": "football",
    "tennis": "tennis racket|tennis ball|tennis racket and ball", "boxing glove": "red boxing glove", "bullseye": "target|dartboard|dart in a target",
    "video game": "game controller|gamepad", "game die": "die|dice", "puzzle piece": "jigsaw piece|jigsaw puzzle", "teddy bear": "stuffed bear|toy bear",
    "artist palette": "palette|paint palette|painter's palette", "yarn": "ball of yarn|ball of wool|wool", "necktie": "tie", "t-shirt": "shirt|tee shirt",
    "jeans": "trousers|pants|blue jeans", "dress": "blue dress", "socks": "pair of socks", "gloves": "pair of gloves", "running shoe": "sneaker|trainer shoe",
    "high-heeled shoe": "high heel|red high heel", "woman's boot": "boot|brown boot", "top hat": "magician's hat|black hat", "woman's hat": "sun hat|straw hat",
    "billed cap": "cap|baseball cap", "graduation cap": "mortarboard", "ring": "diamond ring|engagement ring", "gem stone": "diamond|gem|jewel",
    "bell": "golden bell", "musical note": "music note|note of music", "musical notes": "music|music notes", "microphone": "mic",
    "headphone": "headphones|pair of headphones", "musical keyboard": "piano|piano keys", "drum": "drum with sticks", "guitar": "electric guitar",
    "telephone": "old telephone|red telephone", "electric plug": "plug", "desktop computer": "computer|pc", "computer mouse": "pc mouse", "floppy disk": "diskette",
    "optical disk": "cd|compact disc", "television": "tv|tv set|television set", "movie camera": "film camera", "magnifying glass tilted left": "magnifying glass|magnifier",
    "flashlight": "torch", "notebook": "notepad", "scroll": "old scroll|parchment", "newspaper": "paper with news", "money bag": "bag of money|sack of money",
    "dollar banknote": "dollar bill|dollars|money", "coin": "gold coin", "envelope": "letter", "package": "box|cardboard box|parcel", "postbox": "mailbox|red postbox",
    "pencil": "yellow pencil", "paintbrush": "paint brush|brush", "pushpin": "thumbtack|red pin", "paperclip": "paper clip", "straight ruler": "ruler",
    "scissors": "pair of scissors", "wastebasket": "trash can|bin|rubbish bin", "key": "gold key|golden key", "locked with key": "lock and key", "hammer": "claw hammer", "axe": "hatchet",
    "crossed swords": "swords|two crossed swords", "dagger": "sword", "bomb": "cartoon bomb", "bow and arrow": "archery bow", "wrench": "spanner", "gear": "cogwheel|cog",
    "balance scale": "scales|pair of scales", "magnet": "horseshoe magnet", "test tube": "glass tube", "syringe": "needle and syringe|injection", "pill": "medicine|capsule",
    "adhesive bandage": "plaster|band-aid", "door": "wooden door", "bed": "single bed", "couch and lamp": "sofa|couch", "chair": "wooden chair", "bathtub": "bath|bath tub",
    "broom": "broomstick", "roll of paper": "toilet paper|toilet roll", "soap": "bar of soap", "shopping cart": "shopping trolley|trolley", "moai": "stone head|easter island statue",
    "chequered flag": "race flag|checkered flag", "pirate flag": "jolly roger", "triangular flag": "red flag", "Santa Claus": "santa|father christmas",
    "woman astronaut": "astronaut", "man cook": "chef|cook", "woman health worker": "doctor|nurse", "man teacher": "teacher", "man police officer": "policeman|police officer|cop",
    "woman police officer": "policewoman", "man firefighter": "firefighter|fireman", "man farmer": "farmer", "woman scientist": "scientist", "woman singer": "singer", "woman artist": "artist|painter",
    "man detective": "detective|spy", "man construction worker": "construction worker|builder", "man mage": "wizard|magician|sorcerer", "woman mage": "witch|sorceress", "woman fairy": "fairy",
    "man vampire": "vampire|dracula", "man zombie": "zombie", "man superhero": "superhero|superman", "woman superhero": "superwoman|heroine", "man elf": "elf", "man genie": "genie",
    "person running": "runner|running person", "person surfing": "surfer", "person swimming": "swimmer", "person biking": "cyclist", "woman dancing": "dancer|dancing woman", "man dancing": "dancing man",
    "person lifting weights": "weightlifter", "baby": "infant|newborn", "woman": "lady", "man": "guy", "old man": "grandpa|grandfather", "old woman": "grandma|grandmother",
    "flexed biceps": "biceps|muscle|strong arm", "clapping hands": "applause", "folded hands": "praying hands|prayer", "victory hand": "peace sign", "waving hand": "hand waving hello|hello",
    "eyes": "pair of eyes", "skull": "human skull", "kiss mark": "lips|lipstick kiss", "ghost": "little ghost", "alien": "green alien|extraterrestrial", "jellyfish": "medusa jellyfish",
    "red envelope": "red packet", "sparkles": "glitter|magic sparkles", "snowman": "snow man", "cloud": "white cloud", "sun": "yellow sun|bright sun", "rainbow": "colourful rainbow|colorful rainbow",
    "two-hump camel": "bactrian camel", "camel": "dromedary", "ox": "bull", "pig": "pink pig|hog", "bug": "caterpillar", "snail": "slug with a shell", "dragon": "chinese dragon",
    "hatching chick": "chick in an egg|hatching egg", "duck": "mallard", "turtle": "tortoise", "crocodile": "alligator", "monkey face": "monkey's face", "bear": "bear face|brown bear", "fox": "fox face|red fox",
    "lion": "animal",
    "snowflake": "winter|snow",
    "prince": "king",
    "princess": "queen",
    "shallow pan of food": "paella",
    "footprints": "foot prints",
}
ALIASES_ZH = {
    "hot beverage": "咖啡|一杯咖啡|热咖啡|热茶", "automobile": "车|车子|汽车|小汽车|轿车|红色汽车", "hamburger": "汉堡|汉堡包", "pizza": "比萨|披萨|披萨饼", "red heart": "爱|爱心|心|红色的心", "bicycle": "自行车|单车",
    "dog face": "小狗", "dog": "狗", "cat face": "小猫", "cat": "猫", "panda": "熊猫|大熊猫", "red apple": "苹果|红苹果", "star": "星星|黄色的星星|五角星", "sun": "太阳", "crescent moon": "月亮|弯月", "full moon": "满月",
    "house": "房子|家|屋子", "rocket": "火箭", "birthday cake": "生日蛋糕|蛋糕", "soccer ball": "球|足球", "grinning face": "笑脸", "smiling face with sunglasses": "戴墨镜的笑脸", "face with tears of joy": "笑哭",
    "loudly crying face": "大哭", "enraged face": "生气的脸", "thumbs up": "点赞|竖起大拇指|赞", "evergreen tree": "松树", "deciduous tree": "树|大树", "Christmas tree": "圣诞树", "wrapped gift": "礼物|礼品盒|礼盒",
    "laptop": "笔记本电脑", "mobile phone": "手机", "light bulb": "灯泡|电灯泡", "soft ice cream": "冰淇淋|冰激凌|甜筒", "french fries": "薯条|炸薯条", "cooked rice": "米饭|一碗米饭", "steaming bowl": "面条|拉面|一碗面",
    "dumpling": "饺子", "beer mug": "啤酒|一杯啤酒", "wine glass": "红酒|葡萄酒|一杯红酒", "umbrella": "雨伞|伞", "snowman": "雪人", "high voltage": "闪电", "books": "一摞书|书本", "closed book": "书|一本书", "bus": "公交车|公共汽车|巴士",
    "airplane": "飞机", "sailboat": "帆船|船", "teddy bear": "泰迪熊|玩具熊", "rose": "玫瑰|玫瑰花|红玫瑰", "sunflower": "向日葵", "tulip": "郁金香", "blossom": "花|花朵|小花", "frog": "青蛙", "lion": "动物|狮子", "tiger": "老虎",
    "rabbit": "兔子", "rabbit face": "小兔子", "whale": "鲸鱼|鲸", "bird": "鸟|小鸟", "watch": "手表", "camera": "相机|照相机", "locked": "锁", "crown": "皇冠|王冠", "glasses": "眼镜", "backpack": "书包|背包", "robot": "机器人",
    "alien": "外星人", "fire": "火|火焰", "key": "钥匙", "guitar": "吉他", "globe showing Asia-Australia": "地球", "taxi": "出租车", "tomato": "西红柿|番茄", "banana": "香蕉", "grapes": "水果|葡萄", "lemon": "柠檬", "horse": "马", "horse face": "小马",
    "cow": "奶牛|牛", "pig": "猪", "pig face": "小猪", "chicken": "鸡|母鸡", "baby chick": "小鸡", "duck": "鸭子", "ewe": "羊|绵羊", "goat": "山羊", "monkey": "猴子", "elephant": "大象", "giraffe": "长颈鹿", "bear": "熊|棕熊", "fox": "狐狸", "wolf": "狼",
    "mouse": "老鼠", "snake": "蛇", "turtle": "乌龟|海龟", "crocodile": "鳄鱼", "fish": "鱼|小鱼", "shark": "鲨鱼", "dolphin": "海豚", "octopus": "章鱼", "crab": "螃蟹", "butterfly": "蝴蝶", "honeybee": "蜜蜂", "ant": "蚂蚁", "snail": "蜗牛", "spider": "蜘蛛", "lady beetle": "瓢虫",
    "owl": "猫头鹰", "penguin": "企鹅", "eagle": "老鹰|鹰", "peacock": "孔雀", "parrot": "鹦鹉", "unicorn": "独角兽", "dragon": "龙", "T-Rex": "恐龙|霸王龙", "cactus": "仙人掌", "palm tree": "棕榈树|椰子树", "mushroom": "蘑菇", "watermelon": "西瓜", "strawberry": "草莓", "cherries": "樱桃",
    "peach": "桃子|桃", "pear": "梨|梨子", "pineapple": "菠萝", "mango": "芒果", "tangerine": "橘子|橙子", "carrot": "胡萝卜", "ear of corn": "玉米", "potato": "土豆", "eggplant": "茄子", "broccoli": "西兰花", "avocado": "牛油果", "coconut": "椰子", "bread": "面包", "croissant": "牛角面包|羊角包",
    "egg": "鸡蛋|蛋", "cheese wedge": "奶酪|芝士", "hot dog": "热狗", "sandwich": "三明治", "taco": "塔可", "sushi": "寿司", "doughnut": "甜甜圈", "cookie": "饼干|曲奇", "chocolate bar": "巧克力", "candy": "糖果|糖", "lollipop": "棒棒糖", "glass of milk": "牛奶|一杯牛奶", "teapot": "茶壶",
    "fork and knife": "刀叉", "kitchen knife": "菜刀|刀", "spoon": "勺子", "mountain": "山|高山", "volcano": "火山", "castle": "城堡", "school": "学校", "hospital": "医院", "church": "教堂", "tent": "帐篷", "bridge at night": "桥|夜晚的桥", "train": "火车", "locomotive": "蒸汽火车|火车头",
    "ambulance": "救护车", "fire engine": "消防车", "police car": "警车", "delivery truck": "卡车|货车", "tractor": "拖拉机", "racing car": "赛车", "motorcycle": "摩托车", "helicopter": "直升机|直升飞机", "ship": "轮船", "anchor": "锚|船锚", "alarm clock": "闹钟", "hourglass done": "沙漏",
    "cloud": "云|云朵|白云", "rainbow": "彩虹", "snowflake": "雪|冬天|雪花", "droplet": "水滴", "water wave": "海浪", "jack-o-lantern": "南瓜灯|南瓜", "balloon": "气球", "trophy": "奖杯", "basketball": "篮球", "tennis": "网球", "bullseye": "靶子", "game die": "骰子", "puzzle piece": "拼图", "kite": "风筝",
    "t-shirt": "衣服|T恤", "dress": "女裙|裙子|连衣裙", "jeans": "裤子|牛仔裤", "socks": "袜子", "running shoe": "运动鞋|鞋子", "high-heeled shoe": "高跟鞋", "top hat": "礼帽|黑帽子|帽子", "ring": "戒指|钻戒", "gem stone": "钻石|宝石", "bell": "铃铛", "musical note": "音符", "musical notes": "音乐", "microphone": "麦克风|话筒",
    "headphone": "耳机", "violin": "小提琴", "trumpet": "小号", "drum": "鼓", "musical keyboard": "钢琴", "telephone": "电话|电话机", "desktop computer": "电脑|计算机", "television": "电视|电视机", "magnifying glass tilted left": "放大镜", "candle": "蜡烛", "open book": "打开的书", "newspaper": "报纸", "money bag": "钱袋|钱",
    "envelope": "信|信封", "package": "箱子|包裹|纸箱", "pencil": "铅笔", "paintbrush": "画笔", "scissors": "剪刀", "hammer": "锤子", "axe": "斧头", "bomb": "炸弹", "shield": "盾牌", "gear": "齿轮", "magnet": "磁铁", "microscope": "显微镜", "telescope": "望远镜", "syringe": "注射器", "pill": "药丸|药", "door": "门", "bed": "床|单人床",
    "couch and lamp": "沙发", "chair": "椅子", "toilet": "马桶", "bathtub": "浴缸", "broom": "扫帚|扫把", "soap": "肥皂", "toothbrush": "牙刷", "Santa Claus": "圣诞老人", "baby": "婴儿|宝宝", "woman astronaut": "宇航员", "man cook": "厨师", "woman health worker": "医生|护士", "man police officer": "警察", "man mage": "魔法师|巫师", "mermaid": "美人鱼",
    "ghost": "幽灵|鬼", "skull": "骷髅|骷髅头", "pile of poo": "便便|大便", "eyes": "眼睛", "tooth": "牙齿", "brain": "大脑", "red envelope": "红包", "bouquet": "花束|一束花", "cherry blossom": "樱花", "maple leaf": "枫叶", "four leaf clover": "四叶草", "hot pepper": "辣椒", "moon cake": "月饼", "shrimp": "虾", "rat": "大老鼠",
    "koala": "考拉", "kangaroo": "袋鼠", "zebra": "斑马", "hedgehog": "刺猬", "bat": "蝙蝠", "squid": "鱿鱼", "lobster": "龙虾", "swan": "天鹅", "chestnut": "栗子", "peanuts": "花生", "onion": "洋葱", "garlic": "大蒜", "popcorn": "爆米花", "pancakes": "煎饼", "cup with straw": "可乐|汽水|饮料", "flying saucer": "飞碟|UFO", "ringed planet": "土星|行星", "fireworks": "烟花",
    "night with stars": "夜晚|星空",
    "prince": "国王|王子",
    "princess": "女王|公主",
    "crying face": "哭脸",
}

# Keywords that say how a thing is rather than what it is.
NOT_NOUNS = set(
    "red orange yellow green blue purple pink brown black white gray grey dark light small big large little tiny old "
    "new open closed cold hot good bad happy sad one two three four five six left right up down front facing back "
    "medium cute pretty beautiful nice fast slow high low round square half full ok no yes x a i the of and with in on "
    "cooking eating drinking playing running walking clothing electric".split())
NOT_NOUNS_ZH = set("红 红色 黄 黄色 绿 绿色 蓝 蓝色 白 白色 黑 黑色 紫色 粉色 棕色 橙色 灰色 大 小 左 右 上 下 好 冷 热 新 旧 一 二 三 两 男 女".split())


@dataclasses.dataclass
class Noun:
    """The words for one picture. `en` and `zh` hold the official name first, then aliases; keywords apart."""

    character: str
    group: str
    subgroup: str
    en: list
    zh: list
    keywords_en: list = dataclasses.field(default_factory=list)
    keywords_zh: list = dataclasses.field(default_factory=list)

    @property
    def has_color(self):
        """Whether it may be asked for in another colour: things and animals, not people, signs or scenes."""
        return self.group in ("Animals & Nature", "Food & Drink", "Activities", "Objects") or (
            self.group == "Travel & Places" and self.subgroup in ("place-building", "transport-ground",
                                                                  "transport-water", "transport-air", "hotel"))


def described(name):
    """'man: red hair' as people say it, or None."""
    match = re.fullmatch(r"(\w+): (.+)", name)
    if not match:
        return None
    who, what = match.groups()
    return {"bald": f"bald {who}", "beard": f"{who} with a beard"}.get(what, f"{who} with {what}")


def plainness(name, keyword):
    """Sort key: pictures whose name ends with the keyword, then those that have it, the shortest name first."""
    words = re.split(r"[\s-]+", name.lower())
    return (keyword not in words[-1:], keyword not in words, len(name))


def plainness_zh(name, keyword):
    return (not name.endswith(keyword), keyword not in name, len(name))


def assign(records, language, aliases, not_nouns, key):
    """([names per picture], [keywords per picture]), every form owned by one picture."""
    owner = {record[language].lower(): i for i, record in enumerate(records)}
    index = {record["en"]: i for i, record in enumerate(records)}
    names = [[record[language]] for record in records]
    for name, others in aliases.items():
        for other in filter(None, others.split("|")):
            if owner.setdefault(other.lower(), index[name]) == index[name] and other not in names[index[name]]:
                names[index[name]].append(other)
    if language == "en":
        for i, record in enumerate(records):
            other = described(record["en"])
            if other and owner.setdefault(other.lower(), i) == i:
                names[i].append(other)
    candidates = {}
    for i, record in enumerate(records):
        for word in record[f"keywords_{language}"]:
            if word.lower() not in owner and word.lower() not in not_nouns and len(word) < 24:
                candidates.setdefault(word.lower(), []).append(i)
    keywords = [[] for _ in records]
    for word, pictures in candidates.items():
        best = min(pictures, key=lambda i: (*key(records[i][language], word), i))
        keywords[best].append(word)
    return names, keywords


def load(folder):
    records = json.loads((pathlib.Path(folder) / "emoji.json").read_text(encoding="utf-8"))
    known = {record["en"] for record in records}
    aliases_en = {name: others for name, others in ALIASES_EN.items() if name in known}
    aliases_zh = {name: others for name, others in ALIASES_ZH.items() if name in known}
    en, keywords_en = assign(records, "en", aliases_en, NOT_NOUNS, plainness)
    zh, keywords_zh = assign(records, "zh", aliases_zh, NOT_NOUNS_ZH, plainness_zh)
    return [Noun(r["character"], r["group"], r["subgroup"], *words)
            for r, *words in zip(records, en, zh, keywords_en, keywords_zh)]
